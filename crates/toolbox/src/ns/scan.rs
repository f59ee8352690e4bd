//! Finds the namespaces of this host: those that processes are in, those that mounts keep, and the owners and
//! parents of all these.

use std::collections::{BTreeMap, btree_map::Entry};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use namespace::{Kind, NamespaceFile};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::mountinfo;
use crate::process;

/// A namespace and who is in it.
#[derive(Debug, Clone)]
pub struct Namespace {
    /// What it is called in /proc/PID/ns.
    pub inode: u64,
    /// Its type.
    pub kind: Kind,
    /// How many processes are in it.
    pub processes: usize,
    /// The lowest id among them.
    pub leader: Option<Pid>,
    /// The files it is mounted on, in the caller's mount namespace.
    pub mounts: Vec<String>,
    /// The user namespace that owns it; none if unknown or above the caller's.
    pub owner: Option<u64>,
    /// The parent of a user or pid namespace; none if unknown or above the caller's.
    pub parent: Option<u64>,
    /// The user who made a user namespace.
    pub owner_uid: Option<u32>,
}

/// The namespaces found, by inode.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// By inode.
    pub namespaces: BTreeMap<u64, Namespace>,
    /// Processes whose namespaces the caller may not see.
    pub hidden: usize,
}

impl Scan {
    /// The namespaces of these types that processes are in or mounts keep.
    pub fn new(kinds: &[Kind]) -> io::Result<Self> {
        let mut scan = Self::default();
        for pid in process::all()? {
            scan.add_process(pid, kinds);
        }
        scan.add_mounts(kinds);
        Ok(scan)
    }

    /// The namespaces of one process.
    pub fn of_process(pid: Pid, kinds: &[Kind]) -> io::Result<Self> {
        let mut scan = Self::default();
        links(pid, kinds, |kind, inode| scan.add_member(kind, inode, pid))?;
        Ok(scan)
    }

    fn add_process(&mut self, pid: Pid, kinds: &[Kind]) {
        match links(pid, kinds, |kind, inode| self.add_member(kind, inode, pid)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.hidden += 1,
            // Gone since it was listed, or a zombie, which has left its namespaces.
            Ok(()) | Err(_) => {}
        }
    }

    fn add_member(&mut self, kind: Kind, inode: u64, pid: Pid) {
        let namespace = self.entry(kind, inode);
        namespace.processes += 1;
        namespace.leader.get_or_insert(pid);
    }

    fn add_mounts(&mut self, kinds: &[Kind]) {
        let Ok(mounts) = mountinfo::read(Path::new("/proc/self/mountinfo")) else { return };
        for mount in mounts.iter().filter(|mount| mount.file_system == "nsfs") {
            if let Some((kind, inode)) = parse_link(mount.root.as_bytes())
                && kinds.contains(&kind)
            {
                self.entry(kind, inode).mounts.push(mount.mount_point.clone());
            }
        }
    }

    /// Asks the kernel for owners and parents, and adds those that nobody is in.
    pub fn add_relations(&mut self) {
        for inode in self.namespaces.keys().copied().collect::<Vec<_>>() {
            if let Some(file) = self.open(inode) {
                self.relate(inode, &file);
            }
        }
    }

    /// Opens a namespace through its leader or a mount.
    pub fn open(&self, inode: u64) -> Option<NamespaceFile> {
        let namespace = self.namespaces.get(&inode)?;
        let same = |file: &NamespaceFile| file.id().is_ok_and(|id| id.inode == inode);
        let by_leader = namespace.leader.and_then(|pid| NamespaceFile::of_process(pid, namespace.kind).ok());
        by_leader.filter(same).or_else(|| {
            let mut files = namespace.mounts.iter().filter_map(|path| NamespaceFile::open(path).ok());
            files.find(same)
        })
    }

    fn relate(&mut self, inode: u64, file: &NamespaceFile) {
        let kind = file.kind();
        let owner = file.owning_user_namespace().ok().flatten();
        let parent = if matches!(kind, Kind::User | Kind::Pid) { file.parent().ok().flatten() } else { None };
        let owner_uid = if kind == Kind::User { file.owner_uid().ok() } else { None };
        let owner = owner.and_then(|file| self.add_relative(&file));
        let parent = parent.and_then(|file| self.add_relative(&file));
        let namespace = self.entry(kind, inode);
        (namespace.owner, namespace.parent, namespace.owner_uid) = (owner, parent, owner_uid);
    }

    fn add_relative(&mut self, file: &NamespaceFile) -> Option<u64> {
        let inode = file.id().ok()?.inode;
        if let Entry::Vacant(vacant) = self.namespaces.entry(inode) {
            vacant.insert(Namespace::empty(file.kind(), inode));
            self.relate(inode, file);
        }
        Some(inode)
    }

    fn entry(&mut self, kind: Kind, inode: u64) -> &mut Namespace {
        self.namespaces.entry(inode).or_insert_with(|| Namespace::empty(kind, inode))
    }
}

impl Namespace {
    fn empty(kind: Kind, inode: u64) -> Self {
        Self {
            inode,
            kind,
            processes: 0,
            leader: None,
            mounts: Vec::new(),
            owner: None,
            parent: None,
            owner_uid: None,
        }
    }
}

/// Reads the links in /proc/PID/ns, which is cheaper than to open or stat them: no inode is made.
fn links(pid: Pid, kinds: &[Kind], mut found: impl FnMut(Kind, u64)) -> io::Result<()> {
    let path = format!("/proc/{pid}/ns");
    // For a single type the directory would cost more than the link.
    if let [kind] = kinds {
        return Ok(link(CWD, &format!("{path}/{kind}"), &mut found)?);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty())?;
    for kind in kinds {
        match link(directory.as_fd(), kind.proc_name(), &mut found) {
            // A kernel without this type.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn link(directory: BorrowedFd<'_>, name: &str, found: &mut impl FnMut(Kind, u64)) -> rustix::io::Result<()> {
    let mut buffer = [0; 64];
    let length = rustix::fs::readlinkat_raw(directory, name, &mut buffer[..])?;
    if let Some((kind, inode)) = parse_link(&buffer[..length]) {
        found(kind, inode);
    }
    Ok(())
}

/// Reads `net:[4026531840]`.
pub(crate) fn parse_link(link: &[u8]) -> Option<(Kind, u64)> {
    let (kind, inode) = std::str::from_utf8(link).ok()?.strip_suffix(']')?.split_once(":[")?;
    Some((kind.parse().ok()?, inode.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_parsed() {
        assert_eq!(parse_link(b"net:[4026531840]"), Some((Kind::Net, 4_026_531_840)));
        for bad in [&b"net:[x]"[..], b"net", b"", b"socket:[7]", b"net:[1", b"\xff"] {
            assert_eq!(parse_link(bad), None);
        }
    }

    #[test]
    fn this_process_is_found_in_its_namespaces() {
        let mut scan = Scan::new(&Kind::ALL).unwrap();
        scan.add_relations();
        for kind in Kind::ALL {
            let inode = NamespaceFile::of_self(kind).unwrap().id().unwrap().inode;
            let namespace = &scan.namespaces[&inode];
            assert_eq!(namespace.kind, kind);
            assert!(namespace.processes >= 1);
            assert!(scan.namespaces.contains_key(&namespace.owner.unwrap_or(inode)));
        }
    }

    #[test]
    fn a_process_that_is_gone_has_no_namespaces() {
        let gone = Pid::from_raw(i32::MAX).unwrap();
        assert_eq!(Scan::of_process(gone, &Kind::ALL).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
