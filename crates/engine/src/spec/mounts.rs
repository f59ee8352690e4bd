//! `mounts`: what Docker mounts in every container, then what was asked for.

use std::path::{Component, Path};

use oci::spec::Mount;

use super::namespaces::{Place, Places};
use super::process::INIT;
use super::security::Security;
use super::{Request, SpecError};

/// The group of terminals, everywhere.
const TTY: u32 = 5;
/// Bytes of /dev/shm where nothing else is said.
pub const DEFAULT_SHM: i64 = 64 << 20;

/// What every container has, in this order.
const DEFAULTS: [(&str, &str, &str, &str); 7] = [
    ("/proc", "proc", "proc", "nosuid,noexec,nodev"),
    ("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    ("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
    ("/sys/fs/cgroup", "cgroup", "cgroup", "ro,nosuid,noexec,nodev"),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    ("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777"),
];

/// The files below /etc that the engine writes.
const FILES: [(&str, &str); 3] =
    [("/etc/resolv.conf", "resolv.conf"), ("/etc/hostname", "hostname"), ("/etc/hosts", "hosts")];

pub(super) fn mounts(
    request: &Request<'_>,
    places: &Places,
    security: &Security,
) -> Result<Vec<Mount>, SpecError> {
    let host = &request.config.host_config;
    let asked = &request.found.mounts;
    let taken = |path: &str| asked.iter().any(|mount| clean(&mount.destination) == path);
    // A container's own /dev is all of it.
    let dev = taken("/dev");
    let mut mounts: Vec<Mount> = DEFAULTS
        .iter()
        .map(|(path, kind, source, options)| mount(path, kind, source, options))
        .filter(|mount| !(taken(&mount.destination) || dev && mount.destination.starts_with("/dev/")))
        .collect();
    if !request.host.has_groups {
        // Those that it would show are not the container's.
        mounts.retain(|mount| mount.kind != "cgroup");
    }
    if host.ipc_mode == "none" {
        mounts.retain(|mount| mount.destination != "/dev/shm");
    }
    if places.ipc == Place::Host {
        replace(&mut mounts, bind("/dev/shm", "/dev/shm", "rbind,rprivate"));
    }
    if request.host.in_user_namespace {
        bind_what_is_the_hosts(&mut mounts, places);
        mounts.extend(request.found.devices.binds());
    }
    for mount in &mut mounts {
        settle(mount, request, security);
    }
    if let Some(etc) = request.etc {
        let access = if host.readonly_rootfs { "rbind,rprivate,ro" } else { "rbind,rprivate" };
        // Root's in the container, too, where that is another.
        let access = if request.found.ids.is_some() { format!("{access},idmap") } else { access.to_owned() };
        for (path, file) in FILES.iter().filter(|(path, _)| !taken(path)) {
            mounts.push(bind(path, &etc.join(file).to_string_lossy(), &access));
        }
    }
    if let Some(init) = request.init {
        let options = if request.found.ids.is_some() { "bind,ro,idmap" } else { "bind,ro" };
        mounts.push(bind(INIT, &init.to_string_lossy(), options));
    }
    mounts.extend(asked.iter().cloned());
    // A parent before what lies in it; otherwise the order stays.
    mounts.sort_by_key(|mount| Path::new(&mount.destination).components().count());
    Ok(mounts)
}

/// File systems that show a namespace can be mounted only by root of it: where it is the host's, so is its mount.
fn bind_what_is_the_hosts(mounts: &mut Vec<Mount>, places: &Places) {
    let is_the_hosts = |place: &Place| matches!(place, Place::Host | Place::Path(_));
    for (place, path, options) in [
        (&places.network, "/sys", "rbind,rprivate,nosuid,noexec,nodev,rro"),
        (&places.pid, "/proc", "rbind,rprivate,nosuid,noexec,nodev"),
    ] {
        if is_the_hosts(place) {
            replace(mounts, bind(path, path, options));
        }
    }
    if is_the_hosts(&places.ipc) {
        // Not every host has one; queues work without it.
        mounts.retain(|mount| mount.kind != "mqueue");
    }
}

/// What the configuration changes in a default mount.
fn settle(mount: &mut Mount, request: &Request<'_>, security: &Security) {
    let host = &request.config.host_config;
    let writable = match mount.destination.as_str() {
        "/sys" => host.privileged,
        "/sys/fs/cgroup" => host.privileged || security.writable_cgroups,
        _ => false,
    };
    if writable {
        mount.options.retain(|option| option != "ro");
        mount.options.push("rw".into());
    }
    if mount.destination == "/dev/shm" && mount.kind == "tmpfs" {
        let size = if host.shm_size > 0 { host.shm_size } else { DEFAULT_SHM };
        mount.options.push(format!("size={size}"));
    }
    // Not everybody's group 5 is in the map of a user namespace.
    let own = request.found.ids.as_ref();
    let unmapped = own.map_or(request.host.in_user_namespace, |ids| !ids.maps_group(TTY));
    if mount.kind == "devpts" && unmapped {
        mount.options.retain(|option| !option.starts_with("gid="));
    }
    if host.readonly_rootfs
        && mount.destination.starts_with("/sys")
        && !mount.options.iter().any(|o| o == "ro")
    {
        mount.options.retain(|option| option != "rw");
        mount.options.push("ro".into());
    }
}

fn replace(mounts: &mut [Mount], by: Mount) {
    if let Some(mount) = mounts.iter_mut().find(|mount| mount.destination == by.destination) {
        *mount = by;
    }
}

/// A mount with options as fstab(5) has them.
pub(crate) fn mount(destination: &str, kind: &str, source: &str, options: &str) -> Mount {
    Mount {
        destination: destination.into(),
        kind: kind.into(),
        source: source.into(),
        options: options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect(),
        ..Mount::default()
    }
}

fn bind(destination: &str, source: &str, options: &str) -> Mount {
    mount(destination, "bind", source, options)
}

/// `filepath.Clean("/" + path)`.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => parts.extend(name.to_str()),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    format!("/{}", parts.join("/"))
}
