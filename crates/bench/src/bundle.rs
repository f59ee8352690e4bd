//! The bundle that all runtimes run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// A directory that goes when this is dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// Makes an empty one, on a tmpfs where there is one: runtimes keep their state in /run, which usually is one.
    pub fn new() -> std::io::Result<Self> {
        let shared = PathBuf::from("/dev/shm");
        let parent = if shared.is_dir() { shared } else { std::env::temp_dir() };
        let path = parent.join(format!("berth-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How the configuration differs from the default one.
#[derive(Clone, Copy, Default)]
pub struct Variant {
    /// Without resources and limits, which old peers can't set here.
    pub bare: bool,
    /// With Docker's default seccomp profile.
    pub seccomp: bool,
    /// A program that stays.
    pub stays: bool,
}

/// Makes a bundle with a root file system of two static programs: `/nothing`, and busybox as `/bin/sleep`.
pub fn make(path: &Path, nothing: &Path, berth: &Path, variant: Variant) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("make bundle {}: {error}", path.display());
    let root = path.join("rootfs");
    for directory in ["bin", "proc", "dev", "sys"] {
        fs::create_dir_all(root.join(directory)).map_err(failed)?;
    }
    fs::copy(nothing, root.join("nothing")).map_err(failed)?;
    fs::copy("/bin/busybox", root.join("bin/sleep")).map_err(failed)?;
    let _ = fs::remove_file(path.join("config.json"));
    let made = Command::new(berth).args(["oci", "spec", "--bundle"]).arg(path).status().map_err(failed)?;
    if !made.success() {
        return Err(format!("{} oci spec: {made}", berth.display()));
    }
    let text = fs::read(path.join("config.json")).map_err(failed)?;
    let mut spec: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    spec["ociVersion"] = json!("1.0.2");
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = if variant.stays { json!(["/bin/sleep", "1000"]) } else { json!(["/nothing"]) };
    if variant.bare {
        spec["linux"]["resources"] = Value::Null;
        spec["process"]["rlimits"] = Value::Null;
    }
    if variant.seccomp {
        let host = seccomp::Architecture::native().ok_or("this architecture has no profile")?;
        let caps = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
        let profile = seccomp::default_profile(host, |capability| caps.contains(&capability));
        spec["linux"]["seccomp"] = serde_json::to_value(profile).map_err(|error| error.to_string())?;
    }
    fs::write(path.join("config.json"), spec.to_string()).map_err(failed)
}
