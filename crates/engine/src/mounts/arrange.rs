//! At start: what was decided, as the runtime takes it, and what has to be done before. Looks, and changes nothing.

use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use oci::spec::Mount;

use crate::config::{BindOptions, StringMap};
use crate::spec::clean;
use crate::users::User;
use crate::volumes::{self, Content, Volume};

use super::idmap::{self, IdMaps};
use super::{DEFAULT_PROPAGATION, Ids, MountError, Planned, merge_tmpfs, tmpfs};

/// What the mounts of a container depend on.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Who runs in the container.
    pub user: &'a User,
    /// The ids of the container, where it has a user namespace of its own.
    pub ids: Option<&'a Ids>,
    /// The volumes, by name.
    pub volume: &'a dyn Fn(&str) -> volumes::Result<Volume>,
}

/// Mounts for the runtime.
#[derive(Debug, Default)]
pub struct Arranged<'a> {
    /// In the order in which they were planned.
    pub mounts: Vec<Mount>,
    /// What has to be done before they can be made.
    pub deeds: Vec<Deed<'a>>,
}

/// What has to be done before a mount can be made.
#[derive(Debug)]
pub struct Deed<'a> {
    /// For which.
    pub one: &'a Planned,
    /// What.
    pub act: Act,
}

/// What is done for a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The source of a bind is made.
    MakeSource,
    /// A volume that is empty gets what the image has in its place.
    Fill(Volume),
    /// A directory below another is opened, whatever links lead out of it.
    OpenPart {
        /// The directory.
        directory: PathBuf,
        /// What is below it.
        part: String,
    },
    /// The read-only view of an image is mounted, attached nowhere.
    OpenImage {
        /// What is mounted of it; all where empty.
        part: String,
    },
}

impl fmt::Display for Deed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.one.mount.source;
        match &self.act {
            Act::MakeSource => write!(f, "make directory {source}"),
            Act::Fill(volume) => {
                write!(f, "fill volume {} from {} of the image", volume.name(), self.one.mount.target)
            }
            Act::OpenPart { directory, part } => write!(f, "open {part} in {}", directory.display()),
            Act::OpenImage { part } if part.is_empty() => write!(f, "mount a view of image {source}"),
            Act::OpenImage { part } => write!(f, "mount {part} of a view of image {source}"),
        }
    }
}

/// Decides how what is planned, and `--tmpfs`, is mounted.
///
/// # Errors
/// Something that is named is not there, or can't be used.
pub fn arrange<'a>(
    planned: &'a [Planned],
    tmpfs: &StringMap,
    known: Known<'_>,
) -> Result<Arranged<'a>, MountError> {
    let mut arranged = Arranged::default();
    for (path, options) in tmpfs {
        arranged.mounts.push(tmpfs_mount(&clean(path), options));
    }
    for one in planned {
        let (mount, act) = match one.mount.r#type.as_str() {
            "bind" => bind(one, known)?,
            "tmpfs" => (tmpfs_mount(&one.mount.target, &tmpfs::of_config(&one.mount)?), None),
            "image" => image(one),
            _ => volume(one, known)?,
        };
        arranged.mounts.push(mount);
        arranged.deeds.extend(act.map(|act| Deed { one, act }));
    }
    Ok(arranged)
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

fn bind(one: &Planned, known: Known<'_>) -> Result<(Mount, Option<Act>), MountError> {
    let options = one.mount.bind_options.clone().unwrap_or_default();
    let source = Path::new(&one.mount.source);
    // What is made is root's.
    let (owner, act) = match std::fs::metadata(source) {
        Ok(metadata) => ((metadata.uid(), metadata.gid()), None),
        Err(error) if error.kind() == ErrorKind::NotFound && options.create_mountpoint => {
            ((0, 0), Some(Act::MakeSource))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let problem = format!("bind source path does not exist: {}", source.display());
            return Err(MountError::Config { kind: "bind".into(), problem });
        }
        Err(error) => return Err(MountError::open(one, error)),
    };
    let mut mount = bind_mount(one, &one.mount.source, bind_options(one.mount.read_only, &options));
    let maps = idmap::parse(&options.id_map).map_err(|problem| MountError::open(one, problem))?;
    if maps != IdMaps::None {
        mount.options.push(if options.non_recursive { "idmap" } else { "ridmap" }.into());
    }
    match maps {
        IdMaps::None | IdMaps::Container => {}
        IdMaps::Own(ids) => (mount.uid_mappings, mount.gid_mappings) = (ids.uids, ids.gids),
        IdMaps::MatchUser => {
            let (uid, gid) = (known.user.uid, known.user.gid);
            let (uid, gid) = known.ids.map_or((uid, gid), |ids| ids.outside(uid, gid));
            mount.uid_mappings = idmap::single(owner.0, uid);
            mount.gid_mappings = idmap::single(owner.1, gid);
        }
    }
    Ok((mount, act))
}

fn image(one: &Planned) -> (Mount, Option<Act>) {
    let part = one.mount.image_options.as_ref().map_or("", |options| options.subpath.as_str()).to_owned();
    let options = ["rbind", DEFAULT_PROPAGATION, "ro"].map(str::to_owned).into();
    (bind_mount(one, &one.mount.source, options), Some(Act::OpenImage { part }))
}

fn volume(one: &Planned, known: Known<'_>) -> Result<(Mount, Option<Act>), MountError> {
    let volume = (known.volume)(&one.mount.source)?;
    let options = one.mount.volume_options.clone().unwrap_or_default();
    let mut words = bind_options(one.mount.read_only, &BindOptions::default());
    // Its files belong to the ids of the container, whatever these are on the host.
    words.extend(known.ids.map(|_| "idmap".to_owned()));
    match volume.content() {
        Content::FileSystem { .. } if !options.subpath.is_empty() => {
            let problem = "a subpath needs a volume whose files are in a directory of the host";
            Err(MountError::open(one, problem))
        }
        Content::FileSystem { kind, device, options: more } => {
            let access = one.mount.read_only.then(|| "ro".to_owned());
            let options = more.into_iter().chain(access).collect();
            let destination = one.mount.target.clone();
            Ok((Mount { destination, kind, source: device, options, ..Mount::default() }, None))
        }
        Content::Directory(path) => {
            let mount = bind_mount(one, &path.to_string_lossy(), words);
            let act = match options.subpath {
                part if !part.is_empty() => Some(Act::OpenPart { directory: path, part }),
                _ if !options.no_copy => Some(Act::Fill(volume)),
                _ => None,
            };
            Ok((mount, act))
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
