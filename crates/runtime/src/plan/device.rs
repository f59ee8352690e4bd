//! Device nodes.

use std::path::Path;

use namespace::Kind;
use oci::spec::Device;

use super::{Builder, Checked, DevicePlan, Source, Step, clean, invalid};

impl Builder<'_> {
    /// A bound /dev is the host's: nothing is made in it.
    pub(super) fn dev_is_bound(&self) -> bool {
        self.mounts.iter().any(|plan| {
            clean(&plan.destination) == Path::new("/dev") && matches!(plan.source, Source::Bind { .. })
        })
    }

    /// The devices that the specification promises (config-linux.md, *Default Devices*), then those asked for.
    pub(super) fn devices(&self) -> Checked<Vec<Step>> {
        let bind = self.namespaces.has(Kind::User) || self.facts.in_user_namespace;
        let mut plans: Vec<DevicePlan> = Vec::new();
        for (path, major, minor) in [
            ("/dev/null", 1, 3),
            ("/dev/zero", 1, 5),
            ("/dev/full", 1, 7),
            ("/dev/random", 1, 8),
            ("/dev/urandom", 1, 9),
            ("/dev/tty", 5, 0),
        ] {
            let (path, mode) = (path.to_owned(), 0o666);
            plans.push(DevicePlan { path, kind: libc::S_IFCHR, major, minor, mode, uid: 0, gid: 0, bind });
        }
        for (i, device) in self.linux.devices.iter().enumerate() {
            // Made as a link to pts/ptmx, whatever the configuration says (runc does so too).
            if clean(&device.path) == Path::new("/dev/ptmx") {
                continue;
            }
            let plan = self.device(i, device, bind)?;
            plans.retain(|earlier| earlier.path != plan.path);
            plans.push(plan);
        }
        Ok(plans.into_iter().map(Step::Device).chain([Step::DeviceLinks]).collect())
    }

    fn device(&self, i: usize, device: &Device, bind: bool) -> Checked<DevicePlan> {
        let at = |field: &str| format!("linux.devices[{i}].{field}");
        if !device.path.starts_with('/') {
            return Err(invalid(at("path"), format!("{:?} is not absolute", device.path)));
        }
        let kind = match device.kind.as_str() {
            "c" | "u" => libc::S_IFCHR,
            "b" => libc::S_IFBLK,
            "p" => libc::S_IFIFO,
            other => {
                return Err(invalid(at("type"), format!("invalid device type {other:?}: use c, u, b or p")));
            }
        };
        let number = |value: i64, field| {
            u32::try_from(value).map_err(|_| invalid(at(field), format!("{value} is no device number")))
        };
        Ok(DevicePlan {
            path: device.path.clone(),
            kind,
            major: number(device.major, "major")?,
            minor: number(device.minor, "minor")?,
            mode: device.file_mode.unwrap_or(0o666) & 0o7777,
            uid: device.uid.unwrap_or(0),
            gid: device.gid.unwrap_or(0),
            bind: bind && kind != libc::S_IFIFO,
        })
    }
}
