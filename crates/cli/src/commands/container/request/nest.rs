//! `--nest`: what a container needs to run containers, and no more. Each part is a flag that may be given by hand.

use std::path::Path;

use super::Request;
use crate::commands::container::device;

/// For mounts and namespaces, for the links of their networks, and for the namespaces of processes that are hidden until
/// they execute their program. They count in its own user namespace alone.
const CAPABILITIES: [&str; 3] = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"];
/// For file systems and networks in user space. The kernel keeps both apart by who opens them.
const DEVICES: [&str; 2] = ["/dev/fuse", "/dev/net/tun"];
/// Where berth keeps images: overlay can't have its upper directory on an overlay, which the root is.
const STATE: &str = "/var/lib/berth";

impl Request {
    /// What was asked for beside it stays as it was asked for.
    pub(super) fn allow_nesting(&mut self) -> Result<(), String> {
        let host = &mut self.create.host_config;
        if host.privileged {
            return Err("conflicting options: --nest and --privileged: leave one out".to_owned());
        }
        let own_maps = host.id_mappings.as_ref().is_some_and(|maps| !maps.is_empty());
        match host.userns_mode.as_str() {
            // Whose containers are in a user namespace already needs no other.
            "" if own_maps || !is_root_of_the_host() => {}
            "" => "auto".clone_into(&mut host.userns_mode),
            "host" => {
                return Err(
                    "conflicting options: --nest and --userns host: its root would be the host's".to_owned()
                );
            }
            _ => {}
        }
        if host.cgroupns_mode.is_empty() {
            "private".clone_into(&mut host.cgroupns_mode);
        }
        host.cap_add.extend(CAPABILITIES.map(str::to_owned));
        for path in DEVICES.into_iter().filter(|path| Path::new(path).exists()) {
            device::add(&mut host.resources, path)?;
        }
        let is_given = |name: &str| self.security.iter().any(|option| option.starts_with(name));
        let (seccomp, paths) = (is_given("seccomp"), is_given("systempaths"));
        if !seccomp {
            self.security.push("seccomp=nested".to_owned());
        }
        if !paths {
            // Whoever has a /proc with hidden parts is given no fresh one: mount_too_revealing() in the kernel.
            self.security.push("systempaths=unconfined".to_owned());
        }
        let at_state = |volume: &String| volume.split(':').any(|part| part == STATE);
        if !self.volumes.iter().any(at_state) {
            self.volumes.push(STATE.to_owned());
        }
        Ok(())
    }
}

fn is_root_of_the_host() -> bool {
    rustix::process::geteuid().is_root() && !sys::process::in_user_namespace()
}
