//! At start: what was decided, opened, as the runtime takes it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use oci::spec::Mount;
use rustix::fs::{CWD, Mode, OFlags};

use crate::config::{BindOptions, StringMap};
use crate::idmaps::Mapping;
use crate::spec::clean;
use crate::users::User;
use crate::volumes::{Content, Volumes, populate};

use super::idmap::{self, IdMaps};
use super::{DEFAULT_PROPAGATION, MountError, Planned, merge_tmpfs, subpath, tmpfs};

/// What mounts are opened in.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The volumes.
    pub volumes: &'a Volumes,
    /// The mounted root of the container, which new volumes are filled from.
    pub root: BorrowedFd<'a>,
    /// Who runs in the container.
    pub user: &'a User,
    /// The container's user namespace, where it has its own.
    pub mapping: Option<Mapping<'a>>,
    /// Gives a detached, read-only view of an image, by its reference.
    pub image: &'a dyn Fn(&Planned) -> Result<OwnedFd, String>,
}

/// Mounts for the runtime.
#[derive(Debug, Default)]
pub struct Realized {
    /// In the order in which they were planned.
    pub mounts: Vec<Mount>,
    /// Sources that were opened already, by the destination of their mount.
    pub trees: BTreeMap<String, OwnedFd>,
}

/// Opens what is planned, and `--tmpfs`.
///
/// # Errors
/// Something that is named is not there, or can't be used.
pub fn realize(
    planned: &[Planned],
    tmpfs: &StringMap,
    with: Surroundings<'_>,
) -> Result<Realized, MountError> {
    let mut realized = Realized::default();
    for (path, options) in tmpfs {
        realized.mounts.push(tmpfs_mount(&clean(path), options));
    }
    for one in planned {
        let mount = match one.mount.r#type.as_str() {
            "bind" => bind(one, with)?,
            "tmpfs" => tmpfs_mount(&one.mount.target, &tmpfs::of_config(&one.mount)?),
            "image" => image(one, with, &mut realized.trees)?,
            _ => volume(one, with, &mut realized.trees)?,
        };
        realized.mounts.push(mount);
    }
    Ok(realized)
}

fn open_error(one: &Planned, problem: impl ToString) -> MountError {
    let kind = &one.mount.r#type;
    let what =
        if one.mount.source.is_empty() { kind.clone() } else { format!("{kind} {}", one.mount.source) };
    MountError::Open { what, destination: one.mount.target.clone(), problem: problem.to_string() }
}

fn tmpfs_mount(destination: &str, options: &str) -> Mount {
    Mount {
        destination: destination.into(),
        kind: "tmpfs".into(),
        source: "tmpfs".into(),
        options: merge_tmpfs(options),
        ..Mount::default()
    }
}

fn bind_mount(one: &Planned, source: &str, options: Vec<String>) -> Mount {
    Mount {
        destination: one.mount.target.clone(),
        kind: "bind".into(),
        source: source.into(),
        options,
        ..Mount::default()
    }
}

/// The options of a bind; read-only means all that is mounted below too, where nothing else is said.
fn bind_options(read_only: bool, options: &BindOptions) -> Vec<String> {
    let mut words = vec![if options.non_recursive { "bind" } else { "rbind" }];
    words.push(match options.propagation.as_str() {
        "" => DEFAULT_PROPAGATION,
        propagation => propagation,
    });
    if read_only {
        words.push("ro");
        if !options.non_recursive && !options.read_only_non_recursive {
            words.push("rro");
        }
    }
    words.into_iter().map(str::to_owned).collect()
}

fn bind(one: &Planned, with: Surroundings<'_>) -> Result<Mount, MountError> {
    let options = one.mount.bind_options.clone().unwrap_or_default();
    let source = Path::new(&one.mount.source);
    let metadata = match std::fs::metadata(source) {
        Err(error) if error.kind() == ErrorKind::NotFound && options.create_mountpoint => {
            std::fs::create_dir_all(source).and_then(|()| std::fs::metadata(source))
        }
        other => other,
    };
    let metadata = metadata.map_err(|error| match error.kind() {
        ErrorKind::NotFound => MountError::Config {
            kind: "bind".into(),
            problem: format!("bind source path does not exist: {}", source.display()),
        },
        _ => open_error(one, error),
    })?;
    let mut mount = bind_mount(one, &one.mount.source, bind_options(one.mount.read_only, &options));
    let maps = idmap::parse(&options.id_map).map_err(|problem| open_error(one, problem))?;
    if maps != IdMaps::None {
        mount.options.push(if options.non_recursive { "idmap" } else { "ridmap" }.into());
    }
    match maps {
        IdMaps::None | IdMaps::Container => {}
        IdMaps::Own(ids) => (mount.uid_mappings, mount.gid_mappings) = (ids.uids, ids.gids),
        IdMaps::MatchUser => {
            let (uid, gid) = (with.user.uid, with.user.gid);
            let (uid, gid) = with.mapping.map_or((uid, gid), |mapping| mapping.ids.outside(uid, gid));
            mount.uid_mappings = idmap::single(metadata.uid(), uid);
            mount.gid_mappings = idmap::single(metadata.gid(), gid);
        }
    }
    Ok(mount)
}

fn image(
    one: &Planned,
    with: Surroundings<'_>,
    trees: &mut BTreeMap<String, OwnedFd>,
) -> Result<Mount, MountError> {
    let mut tree = (with.image)(one).map_err(|problem| open_error(one, problem))?;
    let part = one.mount.image_options.as_ref().map_or("", |options| options.subpath.as_str());
    if !part.is_empty() {
        // From a mount that is attached nowhere the kernel copies since 6.15.
        tree = subpath::open(tree.as_fd(), part)
            .map_err(|errno| open_error(one, format!("subpath {part}: {errno}")))?;
    }
    trees.insert(one.mount.target.clone(), tree);
    let options = ["rbind", DEFAULT_PROPAGATION, "ro"].map(str::to_owned).into();
    Ok(bind_mount(one, &one.mount.source, options))
}

fn volume(
    one: &Planned,
    with: Surroundings<'_>,
    trees: &mut BTreeMap<String, OwnedFd>,
) -> Result<Mount, MountError> {
    let volume = with.volumes.get(&one.mount.source)?;
    let options = one.mount.volume_options.clone().unwrap_or_default();
    let mut words = bind_options(one.mount.read_only, &BindOptions::default());
    // Its files belong to the ids of the container, whatever these are on the host.
    words.extend(with.mapping.map(|_| "idmap".to_owned()));
    match volume.content() {
        Content::FileSystem { kind, device, options: more } => {
            if !options.subpath.is_empty() {
                let problem = "a subpath needs a volume whose files are in a directory of the host";
                return Err(open_error(one, problem));
            }
            let access = one.mount.read_only.then(|| "ro".to_owned());
            let options = more.into_iter().chain(access).collect();
            let destination = one.mount.target.clone();
            Ok(Mount { destination, kind, source: device, options, ..Mount::default() })
        }
        Content::Directory(path) => {
            if !options.no_copy && options.subpath.is_empty() {
                populate(with.volumes, &volume, with.root, &one.mount.target, with.mapping)?;
            }
            if !options.subpath.is_empty() {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let opened = rustix::fs::openat(CWD, &path, flags, Mode::empty());
                let part = opened.and_then(|root| subpath::open(root.as_fd(), &options.subpath));
                let part =
                    part.map_err(|errno| open_error(one, format!("subpath {}: {errno}", options.subpath)))?;
                trees.insert(one.mount.target.clone(), part);
            }
            Ok(bind_mount(one, &path.to_string_lossy(), words))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_only_is_recursive_unless_told_otherwise() {
        let options = |read_only, options: BindOptions| bind_options(read_only, &options).join(",");
        assert_eq!(options(false, BindOptions::default()), "rbind,rprivate");
        assert_eq!(options(true, BindOptions::default()), "rbind,rprivate,ro,rro");
        let flat = BindOptions { non_recursive: true, propagation: "slave".into(), ..BindOptions::default() };
        assert_eq!(options(true, flat), "bind,slave,ro");
        let top = BindOptions { read_only_non_recursive: true, ..BindOptions::default() };
        assert_eq!(options(true, top), "rbind,rprivate,ro");
    }
}
