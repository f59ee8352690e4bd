//! Our default profile beside that of podman (Debian's golang-github-containers-common), for the capabilities that Docker
//! gives: every difference is known, and has a reason.

use std::collections::BTreeSet;

use oci::spec::seccomp::{Seccomp, SeccompAction};
use seccomp::{Architecture, default_profile, docker_profile};

const PROFILE: &str = "/usr/share/containers/seccomp.json";

const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// What podman allows and we do not: all that makes namespaces or mounts is, as in Docker, for CAP_SYS_ADMIN; it is much of
/// the kernel's attack surface that no program without that capability has a use for.
const NEEDS_ADMIN: &str =
    "clone clone3 fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree
    setns syslog umount umount2 unshare";
/// As in Docker, for other capabilities.
const NEEDS_OTHERS: &str = "get_mempolicy mbind pidfd_getfd reboot set_mempolicy";
/// Docker allows them to nobody: keys are not namespaced, and a container does not change its root.
const NOBODYS: &str = "keyctl pivot_root";
/// Names that no 64-bit kernel has, or that only 32-bit libraries of the last century call.
const OBSOLETE: &str = "readdir sigaction signal sigpending sigsuspend syscall timerfd";
/// We allow it only for the families that Docker allows.
const BY_ARGUMENT: &str = "socket";

/// What we allow, as Docker's present profile does, and podman's of 2023 does not know or forbids.
const NEWER: &str = "cachestat fchmodat2 futex_requeue futex_wait futex_waitv futex_wake getxattrat io_pgetevents
    io_pgetevents_time64 listmount listxattrat map_shadow_stack mseal removexattrat riscv_hwprobe setxattrat statmount
    uretprobe vmsplice";

fn allowed(profile: &Seccomp) -> BTreeSet<String> {
    let rules =
        profile.syscalls.iter().filter(|rule| rule.action == SeccompAction::Allow && rule.args.is_empty());
    rules.flat_map(|rule| rule.names.iter().cloned()).collect()
}

fn words(lists: &[&str]) -> BTreeSet<String> {
    lists.iter().flat_map(|list| list.split_whitespace()).map(str::to_owned).collect()
}

#[test]
fn every_difference_from_podmans_profile_has_a_reason() {
    let text = std::fs::read(PROFILE).expect(PROFILE);
    let has = |name: &str| CAPABILITIES.contains(&name);
    let architecture = Architecture::X86_64;
    let theirs = docker_profile::parse(&text).unwrap().resolve(architecture, (6, 12), has).unwrap();
    let (theirs, ours) = (allowed(&theirs), allowed(&default_profile(architecture, has)));
    let missing: BTreeSet<String> = theirs.difference(&ours).cloned().collect();
    assert_eq!(missing, words(&[NEEDS_ADMIN, NEEDS_OTHERS, NOBODYS, OBSOLETE, BY_ARGUMENT]));
    let more: BTreeSet<String> = ours.difference(&theirs).cloned().collect();
    assert_eq!(more, words(&[NEWER]));
}
