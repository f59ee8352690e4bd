//! `process`: what runs, as whom, with which privileges and limits.

use capability::{CapSet, Capability};
use oci::spec::{Capabilities, ConsoleSize, Process, Rlimit, User};

use super::security::Security;
use super::{Request, SpecError};
use crate::config::HostConfig;
use crate::merge::effective_env;

/// Docker's default path of programs.
pub const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where the init of `--init` is in the container.
pub const INIT: &str = "/sbin/docker-init";

/// What a container may do without asking (moby's list).
const DEFAULT: [Capability; 14] = [
    Capability::CHOWN,
    Capability::DAC_OVERRIDE,
    Capability::FSETID,
    Capability::FOWNER,
    Capability::MKNOD,
    Capability::NET_RAW,
    Capability::SETGID,
    Capability::SETUID,
    Capability::SETFCAP,
    Capability::SETPCAP,
    Capability::NET_BIND_SERVICE,
    Capability::SYS_CHROOT,
    Capability::KILL,
    Capability::AUDIT_WRITE,
];

/// The capabilities of a container: `ALL` is `all`.
///
/// # Errors
/// A name that nobody knows.
pub fn capabilities(config: &HostConfig, all: CapSet) -> Result<CapSet, SpecError> {
    if config.privileged {
        return Ok(all);
    }
    let names = |names: &[String]| -> Result<(bool, CapSet), SpecError> {
        let (mut set, mut every) = (CapSet::EMPTY, false);
        for name in names {
            match name.to_ascii_uppercase().as_str() {
                "ALL" | "CAP_ALL" => every = true,
                name => set.insert(name.parse().map_err(|_| SpecError::Capability(name.into()))?),
            }
        }
        Ok((every, set))
    };
    let (add_all, add) = names(&config.cap_add)?;
    let (drop_all, drop) = names(&config.cap_drop)?;
    let defaults: CapSet = DEFAULT.into_iter().collect();
    // What is named one by one counts more than `ALL`.
    Ok(match (add_all, drop_all) {
        (true, _) => (all - drop) | add,
        (false, true) => add,
        (false, false) => (defaults - drop) | add,
    })
}

/// The names of a set, as the specification has them.
fn names(set: CapSet) -> Vec<String> {
    set.iter().map(|capability| capability.to_string()).collect()
}

pub(super) fn process(
    request: &Request<'_>,
    caps: CapSet,
    security: &Security,
) -> Result<Process, SpecError> {
    let config = &request.config.config;
    let host = &request.config.host_config;
    let user = &request.found.user;
    let names = names(caps);
    let groups = if request.host.additional_groups { user.groups.clone() } else { Vec::new() };
    let [height, width] = host.console_size;
    Ok(Process {
        terminal: config.tty,
        console_size: (config.tty && height != 0 && width != 0).then_some(ConsoleSize { height, width }),
        user: User { uid: user.uid, gid: user.gid, additional_gids: groups, ..User::default() },
        args: args(request),
        env: env(request),
        cwd: if config.working_dir.is_empty() { "/".into() } else { config.working_dir.clone() },
        // No inheritable ones: a file with inheritable capabilities would give them to anybody (CVE-2022-24769).
        // Who is not root has none in force, as in Docker: only a file can give it some.
        capabilities: Some(Capabilities {
            bounding: names.clone(),
            effective: if user.uid == 0 { names.clone() } else { Vec::new() },
            permitted: if user.uid == 0 { names } else { Vec::new() },
            ..Capabilities::default()
        }),
        rlimits: rlimits(host),
        no_new_privileges: security.no_new_privileges,
        apparmor_profile: security.apparmor.clone().unwrap_or_default(),
        selinux_label: security.process_label.clone().unwrap_or_default(),
        oom_score_adj: Some(host.oom_score_adj),
        ..Process::default()
    })
}

/// Entry point and command; before them the init that was asked for.
fn args(request: &Request<'_>) -> Vec<String> {
    let config = &request.config.config;
    let init = request.init.map(|_| [INIT.to_owned(), "--".to_owned()]).into_iter().flatten();
    let given = [&config.entrypoint, &config.cmd].into_iter().flatten().flatten().cloned();
    init.chain(given).collect()
}

/// What Docker sets, under what the image and the command line set.
fn env(request: &Request<'_>) -> Vec<String> {
    let config = &request.config.config;
    let mut defaults = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={}", request.hostname())];
    if config.tty {
        defaults.push("TERM=xterm".to_owned());
    }
    let mut env = effective_env(&defaults, &config.env);
    if !env.iter().any(|variable| variable.starts_with("HOME=")) {
        env.push(format!("HOME={}", request.found.user.home));
    }
    env
}

fn rlimits(host: &HostConfig) -> Vec<Rlimit> {
    // Go's conversion of -1: no limit.
    let limit = |value: i64| if value < 0 { u64::MAX } else { value.unsigned_abs() };
    let rlimit = |ulimit: &crate::config::Ulimit| Rlimit {
        kind: format!("RLIMIT_{}", ulimit.name.to_ascii_uppercase()),
        hard: limit(ulimit.hard),
        soft: limit(ulimit.soft),
    };
    host.resources.ulimits.iter().map(rlimit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(add: &[&str], drop: &[&str]) -> CapSet {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let config = HostConfig { cap_add: words(add), cap_drop: words(drop), ..HostConfig::default() };
        capabilities(&config, CapSet::all()).unwrap()
    }

    #[test]
    fn capabilities_follow_docker() {
        let defaults: CapSet = DEFAULT.into_iter().collect();
        let kill = CapSet::from(Capability::KILL);
        let admin = CapSet::from(Capability::SYS_ADMIN);
        assert_eq!(caps(&[], &[]), defaults);
        assert_eq!(defaults.len(), 14);
        assert_eq!(caps(&["sys_admin"], &["CAP_KILL"]), (defaults | admin) - kill);
        assert_eq!(caps(&["ALL"], &[]), CapSet::all());
        assert_eq!(caps(&["all"], &["kill"]), CapSet::all() - kill);
        assert_eq!(caps(&["KILL"], &["ALL"]), kill);
        assert_eq!(caps(&[], &["ALL"]), CapSet::EMPTY);
    }

    #[test]
    fn an_unknown_capability_is_named() {
        let config = HostConfig { cap_add: vec!["FLY".into()], ..HostConfig::default() };
        let error = capabilities(&config, CapSet::all()).unwrap_err().to_string();
        assert_eq!(error, "invalid capability: \"FLY\": see `berth caps ls` for those that there are");
    }
}
