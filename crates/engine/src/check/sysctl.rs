//! `--sysctl`: parameters that a namespace of the container has for itself.

use crate::config::HostConfig;
use crate::spec::{Host, Place, Places};

use super::{Checked, invalid};

/// Parameters of the ipc namespace, beside `fs.mqueue.*`.
const IPC: [&str; 11] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.msg_next_id",
    "kernel.sem",
    "kernel.sem_next_id",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_next_id",
    "kernel.shm_rmid_forced",
];

pub(super) fn check(own: &HostConfig, host: &Host) -> Checked {
    let places = Places::of(own, host.unified);
    for key in own.sysctls.keys() {
        let key = key.replace('/', ".");
        let (place, flag) = if IPC.contains(&key.as_str()) || key.starts_with("fs.mqueue.") {
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
