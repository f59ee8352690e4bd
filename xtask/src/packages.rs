//! The Debian packages that tests need, and how they come onto the machine.

use std::process::Command;

use crate::process::{self, Failure, Outcome};

/// A Debian package and what needs it; add one line when a test needs another.
const NEEDED: &[(&str, &str)] = &[
    ("busybox-static", "the root file system of test containers"),
    ("conmon", "what podman puts beside each container"),
    ("containerd", "callers of the runtime"),
    ("containernetworking-plugins", "networks by plugins of CNI"),
    ("dbus", "a private message bus for the client of systemd"),
    ("docker-registry", "a registry, for the distribution client"),
    ("docker.io", "callers of the runtime"),
    ("e2fsprogs", "the VM's disks, and one that fails"),
    ("golang-github-containers-common", "the seccomp profile that ours is compared with"),
    ("iperf3", "throughput, for the benchmark of networks"),
    ("iproute2", "ip, what the toolbox's netns is compared with"),
    ("iptables", "other people's rules, beside which published ports must work"),
    ("libarchive-tools", "bsdtar, a judge of our archives"),
    ("libcap2-bin", "capsh, getcap and setcap, what ours are compared with"),
    ("mmdebstrap", "the VM's image"),
    ("nftables", "nft, which shows our rules"),
    ("openssl", "certificates of that registry"),
    ("passt", "pasta, the network of an ordinary user's containers"),
    ("podman", "callers of the runtime"),
    ("python3-dbus", "what stands in for systemd on that bus"),
    ("python3-gi", "its main loop"),
    ("qemu-system-x86", "the VM"),
    ("skopeo", "the other reader and writer of images"),
    ("slirp4netns", "the same where there is no pasta"),
    ("strace", "tests that assert which system calls are made"),
    ("uidmap", "newuidmap and newgidmap"),
];

/// Installs what is missing.
///
/// # Errors
/// Not root, or apt-get failed.
pub fn install() -> Outcome {
    let missing: Vec<&str> = NEEDED.iter().map(|(name, _)| *name).filter(|name| !installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() {
        return Err(Failure::new(format!(
            "tests need Debian packages that are not installed, and installing takes root; as root, run\n    \
             apt-get install --no-install-recommends {}",
            missing.join(" ")
        )));
    }
    process::run(&mut apt_get(&["update", "-qq"]))?;
    let install = ["install", "-y", "-qq", "--no-install-recommends"];
    process::run(apt_get(&install).args(&missing))
}

fn apt_get(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    // Another apt may be at work, as on a machine that just booted: wait for it.
    command.args(["-o", "DPkg::Lock::Timeout=300"]).args(args).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn installed(package: &str) -> bool {
    let query = Command::new("dpkg-query").args(["-W", "-f", "${Status}", package]).output();
    query.is_ok_and(|output| output.stdout == b"install ok installed")
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_whitespace().nth(1)) == Some("0")
}
