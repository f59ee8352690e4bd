//! `cargo xtask dist`: what is released, into target/release-files: an archive, a Debian package, an SBOM, checksums.
//!
//! The same sources make the same bytes: paths of the machine are mapped away, times are the last commit's, entries are
//! sorted and owned by root. `--verify` builds twice and compares.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, Context, Failure, Outcome, cargo, root};
use crate::sbom;

/// The names that the binary answers to beside its own.
const ALIASES: &[&str] = &["berth-oci"];

/// Builds everything; with `--verify` twice.
pub fn run(args: &[String]) -> Outcome {
    let verify = match args {
        [] => false,
        [flag] if flag == "--verify" => true,
        _ => return Err(Failure::new("usage: cargo xtask dist [--verify]")),
    };
    let files = process::target_dir().join("release-files");
    let sums = make(&files, "dist-build")?;
    println!("{sums}in {}", files.display());
    if verify {
        let again = process::target_dir().join("release-files-again");
        if make(&again, "dist-build-again")? != sums {
            return Err(Failure::new(format!(
                "the second build differs: compare {} with {}",
                files.display(),
                again.display()
            )));
        }
        println!("dist: two builds, the same bytes");
    }
    Ok(())
}

/// Makes all files anew in `out`, and returns their checksums.
fn make(out: &Path, build_dir: &str) -> Outcome<String> {
    if out.exists() {
        fs::remove_dir_all(out).context(format!("remove {}", out.display()))?;
    }
    let binary = build(build_dir)?;
    let release = Release { out: out.to_owned(), version: version()?, time: commit_time()? };
    let tree = release.tree(&binary)?;
    release.archive(&tree)?;
    release.debian_package(&tree)?;
    fs::remove_dir_all(&tree).context("remove the tree")?;
    let sbom = sbom::write(&release.version)?;
    write(&out.join(format!("berth-{}.cdx.json", release.version)), &sbom, 0o644)?;
    checksums(out)
}

/// The binary with all optimisation; nothing in it tells where it was built.
fn build(build_dir: &str) -> Outcome<PathBuf> {
    if let Some(path) = std::env::var_os("BERTH_BIN") {
        return Ok(path.into());
    }
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
    let cargo_home = std::env::var("CARGO_HOME").unwrap_or(format!("{home}/.cargo"));
    let target = process::target_dir().join(build_dir);
    let flags: Vec<String> =
        [(root().display().to_string(), "/usr/src/berth"), (cargo_home, "/usr/src/cargo")]
            .iter()
            .map(|(from, to)| format!("\"--remap-path-prefix={from}={to}\""))
            .collect();
    let mut command = cargo();
    // These are added to the flags of .cargo/config.toml; RUSTFLAGS would replace them.
    command.arg("--config").arg(format!("target.{host}.rustflags=[{}]", flags.join(",")));
    command.args(["build", "--profile", "dist", "--locked", "--package", "cli", "--target-dir"]).arg(&target);
    process::run(&mut command)?;
    Ok(target.join(host).join("dist/berth"))
}

fn version() -> Outcome<String> {
    let text = fs::read_to_string(root().join("Cargo.toml")).context("read Cargo.toml")?;
    let line = text.lines().find_map(|line| line.strip_prefix("version = "));
    line.map(|version| version.trim_matches('"').to_owned())
        .ok_or_else(|| Failure::new("Cargo.toml has no version"))
}

/// Seconds since 1970, for whatever has a time in it.
fn commit_time() -> Outcome<String> {
    let mut git = Command::new("git");
    Ok(process::read(git.current_dir(root()).args(["log", "-1", "--format=%ct"]))?.trim().to_owned())
}

fn write(path: &Path, text: &str, mode: u32) -> Outcome {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).context(format!("make {}", parent.display()))?;
    }
    fs::write(path, text).context(format!("write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).context(format!("chmod {}", path.display()))
}

/// A release in the making.
struct Release {
    out: PathBuf,
    version: String,
    time: String,
}

impl Release {
    /// What is installed, below a directory that stands for /.
    fn tree(&self, binary: &Path) -> Outcome<PathBuf> {
        let tree = self.out.join("tree");
        let usr = tree.join("usr");
        fs::create_dir_all(usr.join("bin")).context("make usr/bin")?;
        let installed = usr.join("bin/berth");
        fs::copy(binary, &installed).context(format!("copy {}", binary.display()))?;
        fs::set_permissions(&installed, fs::Permissions::from_mode(0o755)).context("chmod berth")?;
        for alias in ALIASES {
            symlink("berth", usr.join("bin").join(alias)).context(format!("link {alias}"))?;
        }
        let berth = |args: &[&str]| process::read(Command::new(&installed).args(args));
        for (shell, path) in [
            ("bash", "bash-completion/completions/berth"),
            ("zsh", "zsh/vendor-completions/_berth"),
            ("fish", "fish/vendor_completions.d/berth.fish"),
        ] {
            write(&usr.join("share").join(path), &berth(&["completion", shell])?, 0o644)?;
        }
        let unit = berth(&["generate", "systemd", "--boot"])?;
        let unit = unit.replace(&installed.display().to_string(), "/usr/bin/berth");
        write(&tree.join("lib/systemd/system/berth.service"), &unit, 0o644)?;
        let man = usr.join("share/man");
        berth(&["man", man.to_str().unwrap_or_default()])?;
        let pages =
            fs::read_dir(man.join("man1")).context("read the pages")?.flatten().map(|page| page.path());
        process::run(Command::new("gzip").arg("-9n").args(pages.collect::<BTreeSet<_>>()))?;
        let license = fs::read_to_string(root().join("LICENSE")).context("read LICENSE")?;
        write(&usr.join("share/doc/berth/copyright"), &license, 0o644)?;
        Ok(tree)
    }

    fn archive(&self, tree: &Path) -> Outcome {
        let name = format!("berth-{}-{}-linux.tar.gz", self.version, std::env::consts::ARCH);
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(tree).args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
        tar.arg(format!("--mtime=@{}", self.time)).args(["-I", "gzip -9n", "-cf"]).arg(self.out.join(name));
        process::run(tar.args(["usr", "lib"]))
    }

    fn debian_package(&self, tree: &Path) -> Outcome {
        let architecture = process::read(Command::new("dpkg").arg("--print-architecture"))?;
        let architecture = architecture.trim();
        let control = format!(
            "Package: berth\nVersion: {}\nArchitecture: {architecture}\nMaintainer: The berth developers <berth@localhost>\n\
             Section: admin\nPriority: optional\nRecommends: uidmap\nDescription: container engine without a daemon\n \
             One static binary: an OCI runtime, an engine with Docker's commands, and tools that\n show what containers \
             are made of.\n",
            self.version
        );
        let debian = tree.join("DEBIAN");
        write(&debian.join("control"), &control, 0o644)?;
        // As debhelper does it: systemd may not be there.
        let reload = "#!/bin/sh\nset -e\nif [ -d /run/systemd/system ]; then systemctl daemon-reload; fi\n";
        write(&debian.join("postinst"), reload, 0o755)?;
        write(&debian.join("postrm"), reload, 0o755)?;
        let package = self.out.join(format!("berth_{}_{architecture}.deb", self.version));
        let mut build = Command::new("dpkg-deb");
        build.args(["--build", "--root-owner-group", "-Zxz"]).arg(tree).arg(package);
        process::run(build.env("SOURCE_DATE_EPOCH", &self.time))?;
        fs::remove_dir_all(debian).context("remove DEBIAN")
    }
}

fn checksums(out: &Path) -> Outcome<String> {
    let names: BTreeSet<_> =
        fs::read_dir(out).context("read the release")?.flatten().map(|file| file.file_name()).collect();
    let sums = process::read(Command::new("sha256sum").current_dir(out).args(names))?;
    write(&out.join("SHA256SUMS"), &sums, 0o644)?;
    Ok(sums)
}
