//! Devices of the host that a container gets, looked up by path.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use oci::spec::Device;
use oci::spec::resources::DeviceRule;
use rustix::fs::{FileType, Stat, major, minor};
use rustix::io::Errno;

use crate::check;
use crate::config::{HostConfig, Resources};
use crate::error::{Error, Result};
use crate::spec::{Devices, Numbers};

/// Directories below /dev whose contents are no devices of the host.
const SKIPPED: [&str; 7] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"];

/// The devices that a configuration names; a privileged container gets all.
///
/// # Errors
/// A path that is no device, and no directory with some.
pub fn devices(config: &HostConfig) -> Result<Devices> {
    let mut devices = Devices::default();
    if config.privileged {
        collect(Path::new("/dev"), Path::new("/dev"), "rwm", &mut devices)?;
    }
    for mapping in &config.resources.devices {
        let host = Path::new(&mapping.path_on_host);
        let path =
            if mapping.path_in_container.is_empty() { host } else { Path::new(&mapping.path_in_container) };
        let access = if mapping.cgroup_permissions.is_empty() { "rwm" } else { &mapping.cgroup_permissions };
        let before = devices.nodes.len();
        let problem = collect(host, path, access, &mut devices).err();
        if devices.nodes.len() == before {
            let problem = problem.map_or_else(|| "there is no device".to_owned(), |error| cause(&error));
            let text = format!(
                "error gathering device information while adding custom device \"{}\": {problem}",
                host.display()
            );
            return Err(Error::Invalid(text));
        }
    }
    // One that is named twice is what was named last.
    let mut seen = BTreeSet::new();
    devices.nodes.reverse();
    devices.nodes.retain(|node| seen.insert(node.path.clone()));
    devices.nodes.reverse();
    for rule in &config.resources.device_cgroup_rules {
        devices.rules.push(check::device_rule(rule)?);
    }
    Ok(devices)
}

fn cause(error: &Error) -> String {
    match error {
        Error::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// A device, or all in a directory: links are followed where the path itself is one, as in Docker.
fn collect(host: &Path, inside: &Path, access: &str, devices: &mut Devices) -> Result<()> {
    let stat = rustix::fs::stat(host).map_err(|errno| Error::io("stat", host, errno))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => collect_directory(host, inside, access, devices),
        kind => {
            add(host, inside, kind, &stat, access, devices);
            Ok(())
        }
    }
}

fn collect_directory(host: &Path, inside: &Path, access: &str, devices: &mut Devices) -> Result<()> {
    let fail = |error: std::io::Error| Error::io("list", host, error);
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(host).map_err(fail)? {
        names.push(entry.map_err(fail)?.file_name().into());
    }
    names.sort_unstable();
    for name in names {
        let path = host.join(&name);
        let stat = match rustix::fs::lstat(&path) {
            // Devices come and go.
            Err(Errno::NOENT) => continue,
            other => other.map_err(|errno| Error::io("stat", &path, errno))?,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if SKIPPED.iter().any(|skipped| name == Path::new(skipped)) => {}
            FileType::Directory => collect_directory(&path, &inside.join(&name), access, devices)?,
            // The container has a console of its own.
            _ if name == Path::new("console") => {}
            kind => add(&path, &inside.join(&name), kind, &stat, access, devices),
        }
    }
    Ok(())
}

fn add(host: &Path, path: &Path, kind: FileType, stat: &Stat, access: &str, devices: &mut Devices) {
    let kind = match kind {
        FileType::CharacterDevice => "c",
        FileType::BlockDevice => "b",
        _ => return,
    };
    let text = |path: &Path| path.to_string_lossy().into_owned();
    devices.sources.insert(text(path), text(host));
    let (major, minor) = (i64::from(major(stat.st_rdev)), i64::from(minor(stat.st_rdev)));
    devices.nodes.push(Device {
        path: text(path),
        kind: kind.into(),
        major,
        minor,
        file_mode: Some(stat.st_mode & 0o7777),
        uid: Some(stat.st_uid),
        gid: Some(stat.st_gid),
    });
    devices.rules.push(DeviceRule {
        allow: true,
        kind: kind.into(),
        major: Some(major),
        minor: Some(minor),
        access: access.into(),
    });
}

/// The numbers of the block devices that limits name.
///
/// # Errors
/// A path that is no device.
pub fn block_devices(limits: &Resources) -> Result<BTreeMap<String, Numbers>> {
    let weights = limits.blkio_weight_device.iter().map(|device| &device.path);
    let rates = [
        &limits.blkio_device_read_bps,
        &limits.blkio_device_write_bps,
        &limits.blkio_device_read_iops,
        &limits.blkio_device_write_iops,
    ];
    let mut numbers = BTreeMap::new();
    for path in weights.chain(rates.into_iter().flatten().map(|device| &device.path)) {
        let stat = rustix::fs::stat(path.as_str())
            .map_err(|errno| Error::Invalid(format!("limit I/O of device {path}: {errno}")))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::BlockDevice {
            return Err(Error::Invalid(format!("limit I/O of device {path}: it is no block device")));
        }
        numbers.insert(path.clone(), (major(stat.st_rdev), minor(stat.st_rdev)));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DeviceMapping;

    fn mapping(host: &str, inside: &str) -> HostConfig {
        let mapping = DeviceMapping {
            path_on_host: host.into(),
            path_in_container: inside.into(),
            cgroup_permissions: "r".into(),
        };
        let resources = Resources { devices: vec![mapping], ..Resources::default() };
        HostConfig { resources, ..HostConfig::default() }
    }

    #[test]
    fn a_device_is_found_by_its_path_or_a_link() {
        let found = devices(&mapping("/dev/null", "/dev/nothing")).unwrap();
        let node = &found.nodes[0];
        assert_eq!(
            (node.path.as_str(), node.kind.as_str(), node.major, node.minor),
            ("/dev/nothing", "c", 1, 3)
        );
        assert_eq!(found.rules[0].access, "r");
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        assert_eq!(devices(&mapping(link.to_str().unwrap(), "")).unwrap().nodes[0].minor, 5);
    }

    #[test]
    fn a_directory_gives_its_devices() {
        let found = devices(&mapping("/dev", "/host")).unwrap();
        let has = |path: &str| found.nodes.iter().any(|node| node.path == path);
        assert!(has("/host/null") && !has("/host/console"));
        assert!(!found.nodes.iter().any(|node| node.path.starts_with("/host/pts")));
    }

    #[test]
    fn what_is_no_device_is_named() {
        for path in ["/nowhere", "/etc/passwd"] {
            let error = devices(&mapping(path, "")).unwrap_err().to_string();
            assert!(error.contains("adding custom device") && error.contains(path), "{error}");
        }
        let mut limits = Resources::default();
        limits
            .blkio_device_read_bps
            .push(crate::config::ThrottleDevice { path: "/dev/null".into(), rate: 1 });
        assert!(block_devices(&limits).unwrap_err().to_string().contains("no block device"));
    }
}
