//! `cargo xtask try`: a first container, made of nothing but this machine.
//!
//! No image and no registry: the container's root is an empty directory with the host's programs and
//! libraries mounted into it, read-only.

use std::fs;
use std::io::IsTerminal;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::berth::{self, Profile};
use crate::process::{self, Context, Failure, Outcome};

/// Where a host keeps its programs and libraries.
const PROGRAMS: &[&str] = &["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// What runs when nothing is asked for.
const GREETING: &str = r#"
echo "Hello from $(uname -n): process $$ of its own pid namespace, user $(id -u),"
echo "with $(ls -d /proc/[0-9]* | wc -l) processes and $(ls /sys/class/net | wc -l) network interface in sight."
"#;

/// Builds berth and runs a command, by default a greeting, in a container.
pub fn run(args: &[String]) -> Outcome {
    let berth = berth::build(Profile::Release)?;
    let bundle = Bundle(std::env::temp_dir().join(format!("berth-try-{}", std::process::id())));
    fs::create_dir(&bundle.0).context(bundle.0.display())?;
    fs::create_dir(bundle.0.join("rootfs")).context("create rootfs")?;
    let mut spec = Command::new(&berth);
    spec.args(["oci", "spec", "--bundle"]).arg(&bundle.0);
    let as_root = fs::metadata(&bundle.0).context(bundle.0.display())?.uid() == 0;
    if !as_root {
        spec.arg("--rootless");
    }
    process::read(&mut spec)?;
    configure(&bundle.0, args)?;
    let id = format!("try-{}", std::process::id());
    let status = Command::new(&berth)
        .args(["oci", "run", "--bundle"])
        .arg(&bundle.0)
        .arg(&id)
        .status()
        .context(format!("berth oci run {id}"))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("berth oci run {id}: {status}"))) }
}

/// Removes the bundle when dropped; the container's mounts lived in its own mount namespace.
struct Bundle(PathBuf);

impl Drop for Bundle {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("remove {}: {error}", self.0.display());
        }
    }
}

/// Rewrites the default config.json: the command, and the host's programs in an empty root.
fn configure(bundle: &Path, args: &[String]) -> Outcome {
    let config = bundle.join("config.json");
    let text = fs::read(&config).context(config.display())?;
    let mut spec: Value = serde_json::from_slice(&text).context(config.display())?;
    spec["process"]["args"] = if args.is_empty() { json!(["sh", "-c", GREETING]) } else { json!(args) };
    spec["process"]["terminal"] = json!(!args.is_empty() && std::io::stdin().is_terminal());
    spec["hostname"] = json!("berth");
    let mounts =
        spec["mounts"].as_array_mut().ok_or_else(|| Failure::new("the default spec has no mounts"))?;
    for name in PROGRAMS {
        let host = Path::new("/").join(name);
        let Ok(metadata) = host.symlink_metadata() else { continue };
        if metadata.is_symlink() {
            let target = fs::read_link(&host).context(host.display())?;
            symlink(target, bundle.join("rootfs").join(name)).context(format!("link {name}"))?;
        } else {
            mounts.push(
                json!({"destination": host, "source": host, "type": "none", "options": ["rbind", "ro"]}),
            );
        }
    }
    fs::write(&config, spec.to_string()).context(config.display())
}
