//! Kernel parameters of the caller's network namespace, below /proc/sys/net.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

fn path(name: &str) -> PathBuf {
    Path::new("/proc/sys/net").join(name)
}

/// What a parameter is; `None` where the kernel does not have it.
pub(crate) fn read(name: &str) -> Option<String> {
    std::fs::read_to_string(path(name)).ok().map(|text| text.trim_end().to_owned())
}

/// Sets a parameter unless it is that already, which a read-only /proc/sys allows too. One that the kernel does not
/// have (IPv6 switched off) needs no setting.
pub(crate) fn set(name: &str, value: &str) -> Result<()> {
    match read(name) {
        None => Ok(()),
        Some(now) if now == value => Ok(()),
        Some(_) => {
            let path = path(name);
            std::fs::write(&path, value).map_err(|error| Error::file("set kernel parameter", &path, error))
        }
    }
}

/// Has the host route packets between its links. With IPv6 that ends the hearing of router advertisements, from which
/// the host may have its own default route, unless a link is told to go on (`accept_ra` 2).
pub(crate) fn forward(ipv6: bool) -> Result<()> {
    if !ipv6 {
        return set("ipv4/ip_forward", "1");
    }
    if read("ipv6/conf/all/forwarding").as_deref() != Some("0") {
        return Ok(());
    }
    for link in std::fs::read_dir(path("ipv6/conf")).into_iter().flatten().flatten() {
        let accept = format!("ipv6/conf/{}/accept_ra", link.file_name().to_string_lossy());
        if read(&accept).as_deref() == Some("1") {
            set(&accept, "2")?;
        }
    }
    set("ipv6/conf/all/forwarding", "1")
}
