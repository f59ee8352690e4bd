//! Mounts of `config.json` → what is to be done, without touching anything.

use std::fmt;
use std::path::{Path, PathBuf};

use oci::spec::{IdMapping, Mount};
use sys::mount::MountAttr;

/// One mount, decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPlan {
    /// Its place in `mounts`, for messages and to find a source that the parent opened.
    pub index: usize,
    /// Where, in the container.
    pub destination: String,
    /// What.
    pub source: Source,
    /// Attributes of the mount itself.
    pub own: Change,
    /// Attributes of the whole tree (the `rro` family).
    pub tree: Change,
    /// Propagation changes, in order.
    pub propagation: Vec<Propagation>,
    /// A tmpfs that becomes read-only only when everything inside is made.
    pub readonly_later: bool,
    /// How ids are mapped.
    pub idmap: Option<IdMapPlan>,
    /// Don't follow a symbolic link at the destination's end.
    pub nofollow: bool,
    /// The source lies within the root file system: what is mounted there by then belongs to it.
    pub within_root: bool,
    /// Within a user namespace, no flag of the source can be taken away.
    pub locked: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A tree of the host.
    Bind {
        /// Absolute.
        path: PathBuf,
        /// With the mounts below it.
        recursive: bool,
        /// What a symbolic link at the path's end means.
        link: Link,
    },
    /// A new instance of a file system.
    FileSystem {
        /// Its type.
        kind: String,
        /// Device or name.
        source: String,
        /// Parameters for fsconfig(2): flags and strings.
        options: Vec<(String, Option<String>)>,
        /// Copy what the image has at the destination into the new tmpfs.
        copy_up: bool,
    },
    /// The container's own cgroups, however the host has them.
    Cgroup,
    /// Only the attributes of what is there change.
    Remount,
}

/// What a symbolic link at the end of a bind's source means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Its target is mounted.
    Follow,
    /// The link itself is mounted.
    NoFollow,
    /// An equal link is made at the destination.
    Copy,
}

/// Attributes to set and to clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// To set.
    pub set: MountAttr,
    /// To clear.
    pub clear: MountAttr,
}

/// One change of propagation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Propagation {
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE` or `MS_UNBINDABLE`.
    pub kind: u64,
    /// For the whole tree.
    pub recursive: bool,
}

/// An id-mapped mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMapPlan {
    /// Of users; empty means the container's own map.
    pub uids: Vec<IdMapping>,
    /// Of groups.
    pub gids: Vec<IdMapping>,
    /// The mounts below too.
    pub recursive: bool,
}

const SHARED: u64 = libc::MS_SHARED;
const SLAVE: u64 = libc::MS_SLAVE;
const PRIVATE: u64 = libc::MS_PRIVATE;
const UNBINDABLE: u64 = libc::MS_UNBINDABLE;

/// The propagation that an option or `rootfsPropagation` names.
pub fn propagation(option: &str) -> Option<Propagation> {
    let (name, recursive) = match option.strip_prefix('r') {
        Some(rest) => (rest, true),
        None => (option, false),
    };
    let kind = match name {
        "shared" => SHARED,
        "slave" => SLAVE,
        "private" => PRIVATE,
        "unbindable" => UNBINDABLE,
        _ => return None,
    };
    Some(Propagation { kind, recursive })
}

/// The attribute that an option sets or clears, as in the specification's table of mount options.
fn attribute(option: &str) -> Option<Change> {
    let set = |set| Some(Change { set, clear: MountAttr::empty() });
    let clear = |clear| Some(Change { set: MountAttr::empty(), clear });
    match option {
        "ro" => set(MountAttr::RDONLY),
        "rw" => clear(MountAttr::RDONLY),
        "nosuid" => set(MountAttr::NOSUID),
        "suid" => clear(MountAttr::NOSUID),
        "nodev" => set(MountAttr::NODEV),
        "dev" => clear(MountAttr::NODEV),
        "noexec" => set(MountAttr::NOEXEC),
        "exec" => clear(MountAttr::NOEXEC),
        "nosymfollow" => set(MountAttr::NOSYMFOLLOW),
        "symfollow" => clear(MountAttr::NOSYMFOLLOW),
        "nodiratime" => set(MountAttr::NODIRATIME),
        "diratime" => clear(MountAttr::NODIRATIME),
        // The three access time modes are one field: it is cleared whenever one is chosen (mount_setattr(2)).
        "noatime" => Some(Change { set: MountAttr::NOATIME, clear: MountAttr::ATIME }),
        "strictatime" => Some(Change { set: MountAttr::STRICTATIME, clear: MountAttr::ATIME }),
        "relatime" | "atime" | "nostrictatime" | "norelatime" => clear(MountAttr::ATIME),
        _ => None,
    }
}

/// Flags of the superblock, which fsconfig(2) takes by name.
fn superblock_flag(option: &str) -> bool {
    matches!(
        option,
        "async"
            | "sync"
            | "dirsync"
            | "lazytime"
            | "nolazytime"
            | "mand"
            | "nomand"
            | "iversion"
            | "noiversion"
    )
}

impl Change {
    fn add(&mut self, other: Self) {
        self.set = (self.set - other.clear) | other.set;
        self.clear = (self.clear - (other.set - MountAttr::ATIME)) | other.clear;
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.clear.is_empty()
    }
}

/// File systems whose superblock is no device's: for them `ro` belongs to the mount alone, since the superblock may be
/// shared with the host's.
fn has_no_device(kind: &str) -> bool {
    matches!(
        kind,
        "proc" | "sysfs" | "tmpfs" | "devpts" | "mqueue" | "cgroup" | "cgroup2" | "securityfs" | "bpf"
    )
}

impl MountPlan {
    /// Decides one mount. `bundle` is what relative sources of binds are relative to.
    pub fn new(index: usize, mount: &Mount, bundle: &Path, label: &str) -> Self {
        let mut parsed = Parsed::of(&mount.options);
        let is_bind = parsed.bind.is_some() || mount.kind == "bind";
        let source = if parsed.remount && !is_bind {
            Source::Remount
        } else if is_bind {
            Source::Bind {
                path: bundle.join(&mount.source),
                recursive: parsed.bind == Some(true),
                link: parsed.link,
            }
        } else if mount.kind == "cgroup" || mount.kind == "cgroup2" {
            Source::Cgroup
        } else {
            parsed.file_system(mount, label)
        };
        let tmpfs = matches!(&source, Source::FileSystem { kind, .. } if kind == "tmpfs");
        let readonly_later = tmpfs && parsed.own.set.contains(MountAttr::RDONLY);
        if readonly_later {
            parsed.own.set -= MountAttr::RDONLY;
        }
        let mapped = !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
        let idmap = (mapped || parsed.idmap.is_some()).then(|| IdMapPlan {
            uids: mount.uid_mappings.clone(),
            gids: mount.gid_mappings.clone(),
            recursive: parsed.idmap.unwrap_or(false),
        });
        Self {
            index,
            destination: mount.destination.clone(),
            source,
            own: parsed.own,
            tree: parsed.tree,
            propagation: parsed.propagation,
            readonly_later,
            idmap,
            nofollow: parsed.nofollow,
            within_root: false,
            locked: false,
        }
    }

    /// What becomes of the attributes of a bind whose source has `inherited`. One whose options name any flag has just
    /// these, and not those of its source; one that names none keeps them (runc's way, which mount(8) takes only with
    /// `remount`). Within a user namespace those that the kernel locks stay.
    ///
    /// # Errors
    /// What the options take away, but can't.
    pub fn bind_change(&self, inherited: MountAttr) -> Result<Change, MountAttr> {
        let Change { set, clear } = self.own;
        if self.own.is_empty() {
            return Ok(self.own);
        }
        let mut literal = Change { set, clear: clear | (FLAGS - set) };
        let chosen = (set | clear) & TIMES;
        let names_times = !(set & TIMES).is_empty() || clear.contains(MountAttr::ATIME);
        literal.clear -= chosen;
        if names_times {
            literal.clear |= TIMES - (set & MountAttr::NODIRATIME);
        }
        if !self.locked {
            return Ok(literal);
        }
        let lost = inherited & clear & LOCKED;
        let moved = if names_times { (inherited ^ set) & TIMES } else { MountAttr::empty() };
        if !(lost | moved).is_empty() {
            return Err(lost | (inherited & moved));
        }
        literal.clear -= inherited & LOCKED;
        Ok(literal)
    }
}

/// Flags that a bind has or has not.
const FLAGS: MountAttr = LOCKED.union(MountAttr::NOSYMFOLLOW);
/// Those that the kernel locks when a mount comes into another user namespace; so are all of [`TIMES`].
const LOCKED: MountAttr =
    MountAttr::RDONLY.union(MountAttr::NOSUID).union(MountAttr::NODEV).union(MountAttr::NOEXEC);
/// Access times: one choice for files, one for directories. Whoever makes one makes both.
const TIMES: MountAttr = MountAttr::ATIME.union(MountAttr::NODIRATIME);

/// What the options of one mount say.
struct Parsed {
    bind: Option<bool>,
    remount: bool,
    link: Link,
    nofollow: bool,
    copy_up: bool,
    own: Change,
    tree: Change,
    propagation: Vec<Propagation>,
    idmap: Option<bool>,
    data: Vec<(String, Option<String>)>,
}

impl Parsed {
    fn of(options: &[String]) -> Self {
        let mut parsed = Self {
            bind: None,
            remount: false,
            link: Link::Follow,
            nofollow: false,
            copy_up: false,
            own: Change::default(),
            tree: Change::default(),
            propagation: Vec::new(),
            idmap: None,
            data: Vec::new(),
        };
        options.iter().for_each(|option| parsed.add(option));
        parsed
    }

    fn add(&mut self, option: &str) {
        match option {
            "bind" => self.bind = Some(self.bind.unwrap_or(false)),
            "rbind" => self.bind = Some(true),
            "remount" => self.remount = true,
            "tmpcopyup" => self.copy_up = true,
            "copy-symlink" => self.link = Link::Copy,
            "src-nofollow" => self.link = Link::NoFollow,
            "dest-nofollow" => self.nofollow = true,
            "idmap" => self.idmap = Some(false),
            "ridmap" => self.idmap = Some(true),
            "" | "defaults" | "loud" | "silent" | "acl" | "noacl" => {}
            _ => self.add_flag_or_data(option),
        }
    }

    fn add_flag_or_data(&mut self, option: &str) {
        if let Some(change) = propagation(option) {
            self.propagation.push(change);
        } else if matches!(option, "atime" | "norelatime" | "nostrictatime") {
            // They name no mode: a new mount has the default anyway, and a bind keeps its source's, as with mount(8).
        } else if let Some(change) = attribute(option) {
            self.own.add(change);
        } else if let Some(change) = option.strip_prefix('r').and_then(attribute) {
            self.tree.add(change);
        } else if superblock_flag(option) {
            self.data.push((option.to_owned(), None));
        } else {
            // fstab(5) style: one option may hold several, separated by commas.
            self.data.extend(option.split(',').filter(|o| !o.is_empty()).map(
                |one| match one.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (one.to_owned(), None),
                },
            ));
        }
    }

    fn file_system(&mut self, mount: &Mount, label: &str) -> Source {
        let mut options = std::mem::take(&mut self.data);
        if self.own.set.contains(MountAttr::RDONLY) && !has_no_device(&mount.kind) {
            options.push(("ro".to_owned(), None));
        }
        if !label.is_empty() && matches!(mount.kind.as_str(), "tmpfs" | "mqueue" | "devpts") {
            options.push(("context".to_owned(), Some(label.to_owned())));
        }
        Source::FileSystem {
            kind: mount.kind.clone(),
            source: mount.source.clone(),
            options,
            copy_up: self.copy_up,
        }
    }
}

impl fmt::Display for MountPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Bind { path, recursive, .. } => {
                let kind = if *recursive { "rbind" } else { "bind" };
                write!(f, "mount {kind} {} at {}", path.display(), self.destination)?;
            }
            Source::FileSystem { kind, options, .. } => {
                write!(f, "mount {kind} at {}", self.destination)?;
                for (key, value) in options {
                    write!(f, " {key}")?;
                    value.iter().try_for_each(|value| write!(f, "={value}"))?;
                }
            }
            Source::Cgroup => write!(f, "mount the container's cgroups at {}", self.destination)?,
            Source::Remount => write!(f, "change the mount at {}", self.destination)?,
        }
        if !self.own.set.is_empty() {
            write!(f, " set {}", option_names(self.own.set))?;
        }
        if !self.tree.set.is_empty() {
            write!(f, " set recursively {}", option_names(self.tree.set))?;
        }
        if self.idmap.is_some() {
            f.write_str(" with ids mapped")?;
        }
        Ok(())
    }
}

/// The options that set these attributes.
pub fn option_names(attributes: MountAttr) -> String {
    let option = |name: &str| if name == "RDONLY" { "ro".to_owned() } else { name.to_lowercase() };
    attributes.iter_names().map(|(name, _)| option(name)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(kind: &str, options: &[&str]) -> MountPlan {
        let mount = Mount {
            destination: "/d".into(),
            kind: kind.into(),
            source: "src".into(),
            options: options.iter().map(ToString::to_string).collect(),
            ..Mount::default()
        };
        MountPlan::new(0, &mount, Path::new("/b"), "")
    }

    #[test]
    fn a_bind_is_known_by_option_or_type_and_starts_at_the_bundle() {
        let bind = |recursive| Source::Bind { path: "/b/src".into(), recursive, link: Link::Follow };
        assert_eq!(plan("", &["bind"]).source, bind(false));
        assert_eq!(plan("none", &["rbind"]).source, bind(true));
        assert_eq!(plan("bind", &[]).source, bind(false));
    }

    #[test]
    fn the_last_of_two_contrary_options_counts() {
        assert_eq!(
            plan("proc", &["ro", "rw"]).own,
            Change { set: MountAttr::empty(), clear: MountAttr::RDONLY }
        );
        let both = plan("proc", &["noatime", "strictatime"]).own;
        assert_eq!(both.set, MountAttr::STRICTATIME);
        assert_eq!(both.clear, MountAttr::ATIME);
    }

    /// The attributes of a bind of a source with `inherited`.
    fn bound(options: &[&str], locked: bool, inherited: MountAttr) -> Result<MountAttr, MountAttr> {
        let plan = MountPlan { locked, ..plan("bind", options) };
        let Change { set, clear } = plan.bind_change(inherited)?;
        Ok((inherited - clear) | set)
    }

    #[test]
    fn a_bind_with_any_flag_has_just_these() {
        let source = MountAttr::NOSUID | MountAttr::NOEXEC | MountAttr::NOSYMFOLLOW | MountAttr::NODIRATIME;
        let kept = MountAttr::NODIRATIME;
        assert_eq!(bound(&["ro", "exec"], false, source), Ok(MountAttr::RDONLY | kept));
        assert_eq!(bound(&["dev"], false, source), Ok(kept));
        assert_eq!(bound(&["rprivate"], false, source), Ok(source));
        assert_eq!(bound(&["relatime"], false, source | MountAttr::NOATIME), Ok(MountAttr::empty()));
        assert_eq!(bound(&["nodiratime"], false, MountAttr::NOATIME), Ok(MountAttr::NODIRATIME));
        assert_eq!(bound(&["diratime"], false, MountAttr::NOATIME), Ok(MountAttr::NOATIME));
    }

    #[test]
    fn within_a_user_namespace_flags_of_the_source_stay() {
        let source = MountAttr::NOSUID | MountAttr::NOSYMFOLLOW;
        assert_eq!(bound(&["ro"], true, source), Ok(MountAttr::NOSUID | MountAttr::RDONLY));
        assert_eq!(bound(&["suid"], true, source), Err(MountAttr::NOSUID));
        assert_eq!(bound(&["rw", "noatime"], true, MountAttr::NOATIME), Ok(MountAttr::NOATIME));
        assert_eq!(bound(&["relatime"], true, MountAttr::NOATIME), Err(MountAttr::NOATIME));
        assert!(bound(&["strictatime"], true, MountAttr::empty()).is_err());
        assert!(bound(&["noatime"], true, MountAttr::NODIRATIME).is_err());
        assert_eq!(bound(&["norelatime"], true, MountAttr::NOATIME), Ok(MountAttr::NOATIME));
    }

    #[test]
    fn the_recursive_family_is_kept_apart() {
        let plan = plan("", &["rbind", "rro", "nosuid", "rslave", "rrelatime"]);
        assert_eq!(plan.own.set, MountAttr::NOSUID);
        assert_eq!(plan.tree.set, MountAttr::RDONLY);
        assert_eq!(plan.tree.clear, MountAttr::ATIME);
        assert_eq!(plan.propagation, [Propagation { kind: SLAVE, recursive: true }]);
    }

    #[test]
    fn a_readonly_tmpfs_waits_until_it_is_filled() {
        let plan = plan("tmpfs", &["ro", "size=64k", "mode=755"]);
        assert!(plan.readonly_later);
        assert!(plan.own.is_empty());
        let Source::FileSystem { options, .. } = plan.source else { panic!("no file system") };
        assert_eq!(options[0], ("size".into(), Some("64k".into())));
    }

    #[test]
    fn a_block_device_is_opened_read_only_too() {
        let Source::FileSystem { options, .. } = plan("ext4", &["ro"]).source else { panic!() };
        assert_eq!(options, [("ro".to_owned(), None)]);
    }
}
