//! What the kernel is told for the container: names, parameters, and what of /proc and /sys is out of reach.

use std::collections::HashSet;

use namespace::Kind;

use super::{Builder, Checked, Step, clean, invalid};

impl Builder<'_> {
    pub(super) fn kernel_settings(&self) -> Checked<Vec<Step>> {
        let mut steps = vec![Step::Umask(self.process.user.umask.unwrap_or(0o022))];
        let named = [
            (&self.spec.hostname, "hostname", Step::Hostname as fn(String) -> Step),
            (&self.spec.domainname, "domainname", Step::Domainname),
        ];
        for (name, at, step) in named {
            if name.is_empty() {
                continue;
            }
            if !self.namespaces.has(Kind::Uts) {
                return Err(invalid(at, format!("unable to set {at} without a private UTS namespace")));
            }
            steps.push(step(name.clone()));
        }
        for (key, value) in &self.linux.sysctl {
            steps.push(Step::Sysctl { path: sysctl_path(key)?, value: value.clone() });
        }
        if !self.namespaces.has(Kind::Mount) {
            for (at, paths) in [
                ("linux.maskedPaths", &self.linux.masked_paths),
                ("linux.readonlyPaths", &self.linux.readonly_paths),
            ] {
                if !paths.is_empty() {
                    return Err(invalid(
                        at,
                        "unable to restrict sys entries without a private MNT namespace",
                    ));
                }
            }
        }
        steps.extend(self.linux.readonly_paths.iter().cloned().map(Step::ReadonlyPath));
        if !self.linux.masked_paths.is_empty() {
            let mut paths = self.linux.masked_paths.clone();
            let mut seen = HashSet::new();
            paths.retain(|path| seen.insert(clean(path)));
            steps.push(Step::MaskPaths(paths));
        }
        if self.process.no_new_privileges {
            steps.push(Step::NoNewPrivileges);
        }
        Ok(steps)
    }
}

/// The path below /proc/sys: dots separate components, and slashes too as in sysctl(8), where the first of the two
/// that occurs is the separator.
fn sysctl_path(key: &str) -> Checked<String> {
    let path = match key.find(['.', '/']) {
        Some(at) if key.as_bytes()[at] == b'/' => key.to_owned(),
        _ => key
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
    };
    let bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
    if path.split('/').any(bad) {
        return Err(invalid(format!("linux.sysctl.{key}"), "is no name of a kernel parameter"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::sysctl_path;

    #[test]
    fn sysctl_names_are_dotted_or_slashed_and_stay_below_proc_sys() {
        assert_eq!(sysctl_path("net.ipv4.ip_forward").unwrap(), "net/ipv4/ip_forward");
        assert_eq!(
            sysctl_path("net/ipv4/conf/eth0.1/forwarding").unwrap(),
            "net/ipv4/conf/eth0.1/forwarding"
        );
        assert_eq!(
            sysctl_path("net.ipv4.conf.eth0/1.forwarding").unwrap(),
            "net/ipv4/conf/eth0.1/forwarding"
        );
        for bad in ["", "/etc/passwd", "../x", "net/../../x", "a//b"] {
            assert!(sysctl_path(bad).is_err(), "{bad}");
        }
    }
}
