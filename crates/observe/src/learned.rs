//! What a run needed, and the flags that give it that and no more.

use oci::spec::seccomp::{Seccomp, SeccompAction, SeccompRule};
use serde::{Deserialize, Serialize};

/// What was learned of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// Processes and threads that were seen.
    pub processes: usize,
    /// How many system calls they made.
    pub calls: u64,
    /// The capabilities that they used.
    pub capabilities: Vec<String>,
    /// The directories of the root file system that they wrote to.
    pub written: Vec<Written>,
    /// Why the root file system can't be read-only.
    pub writes_to_system: Option<String>,
    /// Whether a program got privileges from its file.
    pub gained_privileges: bool,
    /// The profile with the system calls that they made.
    pub profile: Option<Seccomp>,
}

/// A directory that was written to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Where.
    pub path: String,
    /// Whether programs or libraries in it were executed.
    pub executed: bool,
}

/// What the runtime itself does between installing the filter and the program's first instruction, and what is needed to
/// end at all.
const OF_THE_RUNTIME: [&str; 44] = [
    "brk",
    "capget",
    "capset",
    "chdir",
    "close",
    "close_range",
    "dup3",
    "execve",
    "exit",
    "exit_group",
    "faccessat2",
    "fchdir",
    "fchown",
    "fcntl",
    "fstat",
    "futex",
    "getcwd",
    "getgroups",
    "getpid",
    "getppid",
    "getuid",
    "madvise",
    "mmap",
    "munmap",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "prctl",
    "read",
    "readlinkat",
    "recvmsg",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sendmsg",
    "sendto",
    "setgid",
    "setgroups",
    "setresgid",
    "setresuid",
    "umask",
    "write",
];

/// A new call that the profile does not know looks like one that the kernel does not know: programs fall back.
const UNKNOWN: u32 = libc::ENOSYS as u32;

impl Learned {
    /// The flags; `profile` is the file that the profile was written to.
    pub fn flags(&self, profile: &str) -> Vec<String> {
        let mut flags = vec!["--cap-drop=ALL".to_owned()];
        flags.extend(self.capabilities.iter().map(|name| format!("--cap-add={name}")));
        if self.profile.is_some() {
            flags.push(format!("--security-opt=seccomp={profile}"));
        }
        if !self.gained_privileges {
            flags.push("--security-opt=no-new-privileges".to_owned());
        }
        if self.writes_to_system.is_none() {
            flags.push("--read-only".to_owned());
            flags.extend(self.written.iter().map(Written::flag));
        }
        flags
    }
}

impl Written {
    /// An empty one for everybody is as it is anyway; others begin with what the image has there, owner and mode too.
    fn flag(&self) -> String {
        let exec = if self.executed { ",exec" } else { "" };
        match (self.path.as_str(), self.executed) {
            ("/tmp" | "/var/tmp", false) => format!("--tmpfs={}", self.path),
            (path, _) => format!("--tmpfs={path}:tmpcopyup{exec}"),
        }
    }
}

/// The part of a profile (none where there was no filter) that a run needed: `made` went through, `refused` did not.
pub fn profile(base: Option<&Seccomp>, made: &[&str], refused: &[(&str, i32)]) -> Seccomp {
    let is_wanted = |name: &String| {
        made.contains(&name.as_str())
            || OF_THE_RUNTIME.contains(&name.as_str())
            || refused.iter().any(|(refused, _)| refused == name)
    };
    let mut rules: Vec<SeccompRule> = Vec::new();
    for rule in base.iter().flat_map(|base| &base.syscalls) {
        let mut names: Vec<String> = rule.names.iter().filter(|name| is_wanted(name)).cloned().collect();
        names.sort_unstable();
        if !names.is_empty() {
            rules.push(SeccompRule { names, ..rule.clone() });
        }
    }
    // What no rule allows was allowed by there being no filter, or by its default.
    let has_rule = |name: &str| rules.iter().any(|rule| rule.names.iter().any(|known| known == name));
    let mut plain: Vec<String> = made.iter().chain(&OF_THE_RUNTIME).map(|name| (*name).to_owned()).collect();
    plain.retain(|name| !has_rule(name));
    plain.sort_unstable();
    plain.dedup();
    // Programs that were refused a call must be refused it in the same way.
    let denied: Vec<SeccompRule> = refused
        .iter()
        .filter(|(name, errno)| errno.unsigned_abs() != UNKNOWN && !has_rule(name))
        .map(|(name, errno)| rule(vec![(*name).to_owned()], SeccompAction::Errno, Some(errno.unsigned_abs())))
        .collect();
    if !plain.is_empty() {
        rules.insert(0, rule(plain, SeccompAction::Allow, None));
    }
    rules.extend(denied);
    Seccomp {
        default_action: SeccompAction::Errno,
        default_errno_ret: Some(UNKNOWN),
        architectures: base.map(|base| base.architectures.clone()).unwrap_or_default(),
        flags: None,
        listener_path: None,
        listener_metadata: None,
        syscalls: rules,
    }
}

fn rule(names: Vec<String>, action: SeccompAction, errno_ret: Option<u32>) -> SeccompRule {
    SeccompRule { names, action, errno_ret, args: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_what_was_needed() {
        let learned = Learned {
            capabilities: vec!["NET_RAW".into()],
            written: vec![
                Written { path: "/run".into(), executed: false },
                Written { path: "/tmp".into(), executed: true },
            ],
            profile: Some(profile(None, &["read"], &[])),
            ..Learned::default()
        };
        assert_eq!(
            learned.flags("p.json").join(" "),
            "--cap-drop=ALL --cap-add=NET_RAW --security-opt=seccomp=p.json --security-opt=no-new-privileges \
             --read-only --tmpfs=/run:tmpcopyup --tmpfs=/tmp:tmpcopyup,exec"
        );
        let system = Learned { writes_to_system: Some("/usr/bin".into()), ..learned };
        assert!(!system.flags("p.json").contains(&"--read-only".to_owned()));
    }

    #[test]
    fn conditions_on_arguments_are_kept() {
        let host = seccomp::Architecture::native().unwrap();
        let base = seccomp::default_profile(host, |_| false);
        let learned =
            profile(Some(&base), &["clone", "read", "personality"], &[("mount", 1), ("clone3", 38)]);
        let of = |name: &str| {
            let rules = learned.syscalls.iter().filter(|rule| rule.names.iter().any(|one| one == name));
            rules.cloned().collect::<Vec<_>>()
        };
        assert!(of("clone").iter().all(|rule| !rule.args.is_empty()), "{:?}", of("clone"));
        assert!(of("personality").iter().all(|rule| !rule.args.is_empty()));
        assert_eq!(of("mount")[0].errno_ret, Some(1));
        assert!(of("io_setup").is_empty() && !of("read").is_empty() && !of("execve").is_empty());
    }
}
