//! The second disk: the test programs, berth, and the script that runs them.
//!
//! A test program goes by its name, which is that of its file in `tests/`:
//!
//! | name | runs in the VM |
//! |---|---|
//! | `vm_user…` | as an ordinary user in a unit of that user's systemd; ignored tests too |
//! | `vm_…` | as root; ignored tests too |
//! | one of [`ALWAYS`] | as root; without ignored tests |
//! | any other, of a crate in [`ALSO`] | as root, in the long run only; without ignored tests |

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Request, image};
use crate::berth::{self, Profile};
use crate::process::{self, Context, Outcome, cargo};

/// Integration tests that run in the short form, too: what an older kernel and other cgroups change most.
const ALWAYS: &[(&str, &str)] = &[("cli", "engine"), ("snapshot", "conformance")];

/// Crates whose other integration tests run on the VM's kernel and cgroups as well.
const ALSO: &[&str] = &[
    "capability",
    "cgroup",
    "cli",
    "namespace",
    "runtime",
    "seccomp",
    "snapshot",
    "sys",
    "testkit",
    "toolbox",
];

/// A packed disk.
#[derive(Debug)]
pub struct Payload {
    /// Its file.
    pub disk: PathBuf,
    /// How many test programs are on it.
    pub programs: usize,
}

/// An integration test of the workspace, before it is built.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    package: String,
    name: String,
}

impl Target {
    fn needs_vm(&self) -> bool {
        self.name.starts_with("vm_")
    }

    fn user(&self) -> &'static str {
        if self.name.starts_with("vm_user") { "user" } else { "root" }
    }

    /// The program's name on the disk, and in the report.
    fn program(&self) -> String {
        format!("{}.{}", self.package, self.name)
    }

    /// The line for the guest. With more than one thread libtest writes a test's line in one piece.
    fn line(&self, filter: &[String]) -> String {
        let skipped = match self.name.as_str() {
            // Makes an image of Debian's packages, which the VM can't fetch.
            "engine" => " --skip servers::",
            // The VM has cgroup v2 alone.
            "legacy" => " --skip v1::",
            _ => "",
        };
        let ignored = if self.needs_vm() { " --include-ignored" } else { "" };
        let filter = filter.iter().map(|word| format!(" {word}")).collect::<String>();
        format!("{} {} --test-threads=2{ignored}{skipped}{filter}\n", self.user(), self.program())
    }
}

/// Builds what `request` asks for and packs it.
pub fn pack(request: &Request) -> Outcome<Payload> {
    let targets = targets(request.short)?;
    let stem = super::work_dir()?.join(format!("payload-{}", std::process::id()));
    let disk = stem.with_extension("ext4");
    if targets.is_empty() {
        return Ok(Payload { disk, programs: 0 });
    }
    let staging = Staging::new(stem)?;
    stage(&staging.0, &targets, request)?;
    image::make_disk(&staging.0, &disk, &size(&staging.0)?)?;
    Ok(Payload { disk, programs: targets.len() })
}

/// A directory that is removed when dropped.
struct Staging(PathBuf);

impl Staging {
    fn new(dir: PathBuf) -> Outcome<Self> {
        fs::create_dir_all(dir.join("bin")).context(format!("create {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("remove {}: {error}", self.0.display());
        }
    }
}

fn stage(dir: &Path, targets: &[Target], request: &Request) -> Outcome {
    fs::copy(berth::build(Profile::Release)?, dir.join("berth")).context("copy berth")?;
    for (target, executable) in build(targets)? {
        fs::copy(&executable, dir.join("bin").join(target.program())).context(executable.display())?;
    }
    let lines = targets.iter().map(|target| target.line(&request.filter)).collect::<String>();
    fs::write(dir.join("programs"), lines).context("write the list of programs")?;
    fs::write(dir.join("run"), include_str!("guest/run")).context("write the guest's script")?;
    if request.keep {
        fs::write(dir.join("keep"), "").context("write the flag file")?;
    }
    Ok(())
}

fn targets(short: bool) -> Outcome<Vec<Target>> {
    let text = process::read(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
    let mut targets = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        for target in package["targets"].as_array().into_iter().flatten() {
            let Some(test) = integration_test(target) else { continue };
            let target = Target { package: name.to_owned(), name: test.to_owned() };
            let always = target.needs_vm() || ALWAYS.contains(&(name, test));
            if always || (!short && ALSO.contains(&name)) {
                targets.push(target);
            }
        }
    }
    Ok(targets)
}

/// The name of a target of cargo's JSON, if it is an integration test.
fn integration_test(target: &Value) -> Option<&str> {
    let kinds = target["kind"].as_array()?;
    if kinds.iter().any(|kind| kind == "test") { target["name"].as_str() } else { None }
}

/// Compiles the targets, and says where each lies.
fn build(targets: &[Target]) -> Outcome<Vec<(Target, PathBuf)>> {
    let mut command = cargo();
    command.args(["test", "--no-run", "--message-format=json-render-diagnostics"]);
    for target in targets {
        command.args(["--package", &target.package, "--test", &target.name]);
    }
    let messages = process::read(&mut command)?;
    Ok(messages.lines().filter_map(built).filter(|(target, _)| targets.contains(target)).collect())
}

/// The integration test that a line of cargo's says it has built.
fn built(line: &str) -> Option<(Target, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let executable = message["executable"].as_str()?;
    let name = integration_test(&message["target"])?.to_owned();
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let package = manifest.parent()?.file_name()?.to_str()?.to_owned();
    Some((Target { package, name }, executable.into()))
}

/// The size of a disk for what lies in `dir`, as mke2fs takes it.
fn size(dir: &Path) -> Outcome<String> {
    let mut bytes = 0;
    for part in [dir.to_owned(), dir.join("bin")] {
        let entries = fs::read_dir(&part).context(part.display())?;
        bytes += entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|it| it.len()).sum::<u64>();
    }
    // A tenth and 16 MiB more, for the file system itself.
    Ok(format!("{}M", (bytes + bytes / 10) / (1 << 20) + 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Target {
        Target { package: "cli".into(), name: name.into() }
    }

    #[test]
    fn the_name_says_who_runs_it() {
        let line = |name| target(name).line(&[]);
        assert_eq!(line("vm_user_limits"), "user cli.vm_user_limits --test-threads=2 --include-ignored\n");
        assert_eq!(line("vm_systemd"), "root cli.vm_systemd --test-threads=2 --include-ignored\n");
        assert_eq!(line("oci_run"), "root cli.oci_run --test-threads=2\n");
    }

    #[test]
    fn a_built_test_is_known_by_its_package() {
        let line = r#"{"reason":"compiler-artifact","manifest_path":"/x/crates/cli/Cargo.toml",
            "target":{"kind":["test"],"name":"vm_systemd"},"executable":"/x/target/vm_systemd-1"}"#;
        assert_eq!(
            built(&line.replace('\n', "")),
            Some((target("vm_systemd"), "/x/target/vm_systemd-1".into()))
        );
        assert_eq!(built(r#"{"target":{"kind":["lib"],"name":"sys"},"executable":"/x"}"#), None);
    }
}
