//! What the host's administrator has to switch on.

use std::path::Path;

/// A switch of the kernel's: its file below /proc/sys, the value that forbids user namespaces, and what to do.
const SWITCHES: [(&str, &str, &str); 3] = [
    (
        "user/max_user_namespaces",
        "0",
        "user namespaces are switched off: as root, sysctl -w user.max_user_namespaces=15000 (and the same line in \
         /etc/sysctl.d/99-berth.conf)",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "ordinary users may not make user namespaces: as root, sysctl -w kernel.unprivileged_userns_clone=1 (and the \
         same line in /etc/sysctl.d/99-berth.conf)",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts user namespaces of ordinary users: as root, write a profile for berth (docs/rootless.md has \
         it), or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
];

/// The advice for what this host forbids; empty where it forbids nothing that is known.
pub fn of_host() -> String {
    for_settings(|path| {
        let text = std::fs::read_to_string(Path::new("/proc/sys").join(path)).ok()?;
        Some(text.trim().to_owned())
    })
}

fn for_settings(setting: impl Fn(&str) -> Option<String>) -> String {
    let forbidding = |(path, value, _): &&(&str, &str, &str)| setting(path).as_deref() == Some(*value);
    SWITCHES.iter().find(forbidding).map(|(.., advice)| format!("; {advice}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_has_its_command() {
        for (path, value, _) in SWITCHES {
            let advice = for_settings(|asked| (asked == path).then(|| value.to_owned()));
            let name = path.replace('/', ".");
            assert!(advice.starts_with("; ") && advice.contains(&format!("sysctl -w {name}=")), "{advice}");
        }
        assert_eq!(for_settings(|_| None), "");
        assert_eq!(for_settings(|_| Some("9".to_owned())), "");
    }
}
