//! The AppArmor profile of containers that name none: loaded when the first of them starts, as Docker loads its own.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// The name of berth's own profile.
pub(crate) const PROFILE: &str = "berth-default";
/// Docker's, which serves as well where ours can't be loaded.
const DOCKERS: &str = "docker-default";
/// Where distributions have the compiler of profiles; only it makes what the kernel takes.
const PARSERS: [&str; 2] = ["/sbin/apparmor_parser", "/usr/sbin/apparmor_parser"];

/// What confines beside namespaces, capabilities and seccomp: no mounts, and of /proc and /sys only what a container has of
/// its own can be written to, whatever becomes of masks and read-only mounts. It includes no other file.
const TEXT: &str = "\
profile berth-default flags=(attach_disconnected,mediate_deleted) {
  file,
  network,
  unix,
  capability,
  umount,

  # Whoever runs berth may signal; processes of containers signal and trace each other alone.
  signal (receive) peer=unconfined,
  signal (send, receive) peer=berth-default,
  ptrace (trace, read, tracedby, readby) peer=berth-default,

  deny mount,

  # Of /proc: processes, and of sys what belongs to an IPC namespace.
  deny /proc/* w,
  deny /proc/[^0-9s]*/** w,
  deny /proc/s[^y]*/** w,
  deny /proc/sys?*/** w,
  deny /proc/sys/[^k]** w,
  deny /proc/sys/ke[^r]** w,
  deny /proc/sys/kernel/[^sm]** w,
  deny /proc/sys/kernel/{s[^h],m[^s]}** w,
  deny /proc/sysrq-trigger rwklx,
  deny /proc/kcore rwklx,

  # Of /sys: control groups.
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
";

/// The profile of a container that asks for none; absent where the host has no AppArmor. `may_load`: whether ours can be
/// loaded when it is needed.
pub(crate) fn default_profile(may_load: bool) -> Option<String> {
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled").ok()?;
    if !enabled.starts_with('Y') {
        return None;
    }
    let loaded = loaded();
    let profile = if is_loaded(&loaded, PROFILE) || may_load && parser().is_some() {
        PROFILE
    } else if is_loaded(&loaded, DOCKERS) {
        DOCKERS
    } else {
        "unconfined"
    };
    Some(profile.to_owned())
}

/// Loads a container's profile, where it is ours and not loaded yet.
///
/// # Errors
/// The compiler of profiles failed.
pub(crate) fn provide(profile: &str) -> Result<()> {
    if profile != PROFILE || is_loaded(&loaded(), PROFILE) {
        return Ok(());
    }
    let Some(parser) = parser() else { return Ok(()) };
    // Without a cache of its own below /var, and for one that was loaded meanwhile.
    let mut child = Command::new(parser)
        .args(["--skip-cache", "--replace"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Error::io("run", parser, error))?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(TEXT.as_bytes()));
    let ended = child.wait_with_output().map_err(|error| Error::io("run", parser, error))?;
    if written.is_err() || !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        return Err(Error::Unavailable(format!(
            "load AppArmor profile {PROFILE}: {parser} failed ({}): --security-opt apparmor=unconfined does without",
            said.trim()
        )));
    }
    Ok(())
}

fn parser() -> Option<&'static str> {
    PARSERS.into_iter().find(|path| Path::new(path).exists())
}

fn loaded() -> String {
    fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap_or_default()
}

/// Lines are `NAME (MODE)`.
fn is_loaded(profiles: &str, name: &str) -> bool {
    profiles.lines().any(|line| line.split(" (").next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loaded_profiles_are_known_by_their_whole_name() {
        let profiles = "docker-default (enforce)\nberth-default-2 (complain)\n";
        assert!(is_loaded(profiles, DOCKERS) && !is_loaded(profiles, PROFILE));
        assert!(TEXT.starts_with(&format!("profile {PROFILE} ")));
    }
}
