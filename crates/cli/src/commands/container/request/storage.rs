//! Flags of the root and of what is mounted.

use super::{Request, RequestFlag};
use crate::commands::container::mount;
use crate::commands::flags::Section;
use crate::commands::values::{bytes, key_value};

pub const SECTION: Section<Request> = Section {
    heading: "Storage",
    flags: &[
        RequestFlag::value(
            "volume",
            "[SOURCE:]DIR[:OPTIONS]",
            "Mount a directory of the host, or a volume",
            |request, value| {
                mount::parse_volume(value)?;
                request.volumes.push(value.to_owned());
                Ok(())
            },
        )
        .short('v'),
        RequestFlag::value(
            "mount",
            "FIELDS",
            "Mount: type=bind|volume|tmpfs|image,source=…,target=…,…",
            |request, value| {
                request.create.host_config.mounts.push(mount::parse(value)?);
                Ok(())
            },
        ),
        RequestFlag::value("tmpfs", "DIR[:OPTIONS]", "Mount a file system in memory", |request, value| {
            mount::add_tmpfs(&mut request.create.host_config.tmpfs, value)
        }),
        RequestFlag::value(
            "volumes-from",
            "CONTAINER[:ro|rw]",
            "Mount the volumes of another container",
            |request, value| {
                request.create.host_config.volumes_from.push(value.to_owned());
                Ok(())
            },
        ),
        RequestFlag::value(
            "volume-driver",
            "DRIVER",
            "The driver of volumes that are made for it",
            |request, value| {
                value.clone_into(&mut request.create.host_config.volume_driver);
                Ok(())
            },
        ),
        RequestFlag::switch("read-only", "Mount the root read-only", |request, on| {
            request.create.host_config.readonly_rootfs = on;
        }),
        RequestFlag::value("shm-size", "BYTES", "The size of /dev/shm [default: 64m]", |request, value| {
            request.create.host_config.shm_size = bytes(value)?;
            Ok(())
        }),
        RequestFlag::value(
            "storage-opt",
            "NAME=VALUE",
            "An option of the root's storage: size=BYTES",
            |request, value| {
                let (name, value) =
                    Some(key_value(value)).filter(|_| value.contains('=')).ok_or("invalid storage option")?;
                request.create.host_config.storage_opt.insert(name, value);
                Ok(())
            },
        ),
    ],
};
