//! `--sysctl`: parameters that a namespace of the container has for itself.

use oci::validate::IPC_SYSCTLS;

use crate::config::HostConfig;
use crate::spec::{Host, Place, Places};

use super::{Checked, invalid};

pub(super) fn check(own: &HostConfig, host: &Host) -> Checked {
    let places = Places::of(own, host.unified);
    for key in own.sysctls.keys() {
        let key = key.replace('/', ".");
        let (place, flag) = if IPC_SYSCTLS.contains(&key.as_str()) || key.starts_with("fs.mqueue.") {
            (&places.ipc, "--ipc")
        } else if key.starts_with("net.") {
            (&places.network, "--network")
        } else if key == "kernel.domainname" {
            (&places.uts, "--uts")
        } else {
            return invalid(format!(
                "sysctl '{key}' is not allowed: no namespace of a container has it for itself (--sysctl)"
            ));
        };
        if *place == Place::Host {
            return invalid(format!(
                "sysctl '{key}' is not allowed, as the container shares the host's namespace (--sysctl and {flag} host)"
            ));
        }
    }
    Ok(())
}
