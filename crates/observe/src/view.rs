//! Looking at a process that stands still: its memory, and the files that its calls name, as it sees them.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, Mode, OFlags, ResolveFlags, Stat, StatVfsMountFlags, StatxFlags, fstat, fstatvfs, openat2, statx,
};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::call::{Call, Place};

/// The longest path that a call takes.
const PATH_MAX: usize = 4096;

/// A process that stands still.
#[derive(Debug, Clone, Copy)]
pub struct View(Pid);

/// A file as a process sees it.
#[derive(Debug)]
pub struct File {
    /// Its path in the process's root.
    pub path: PathBuf,
    /// A path descriptor of it.
    pub fd: OwnedFd,
    /// Owner and mode.
    pub stat: Stat,
}

impl View {
    /// The view of a thread.
    pub fn of(tid: Pid) -> Self {
        Self(tid)
    }

    fn proc(self, below: &str) -> PathBuf {
        format!("/proc/{}/{below}", self.0.as_raw_pid()).into()
    }

    /// Bytes of its memory; fewer where less is mapped.
    pub fn memory(self, address: u64, length: usize) -> Vec<u8> {
        let Ok(memory) = std::fs::File::open(self.proc("mem")) else { return Vec::new() };
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            // To the end of a page: what lies behind need not be mapped.
            let at = address.wrapping_add(filled as u64);
            let piece = (PATH_MAX - (at as usize) % PATH_MAX).min(length - filled);
            match memory.read_at(&mut bytes[filled..filled + piece], at) {
                Ok(n) if n > 0 => filled += n,
                _ => break,
            }
        }
        bytes.truncate(filled);
        bytes
    }

    /// A word of its memory.
    pub fn word(self, address: u64) -> Option<u64> {
        Some(u64::from_ne_bytes(self.memory(address, 8).try_into().ok()?))
    }

    /// A string that ends with NUL.
    pub fn string(self, address: u64) -> Option<Vec<u8>> {
        if address == 0 {
            return None;
        }
        let mut bytes = self.memory(address, 256);
        if !bytes.contains(&0) {
            bytes = self.memory(address, PATH_MAX);
        }
        let end = bytes.iter().position(|&byte| byte == 0)?;
        bytes.truncate(end);
        Some(bytes)
    }

    /// What one of its descriptors is: a path, or `socket:[…]` and the like.
    pub fn descriptor(self, fd: i32) -> Option<PathBuf> {
        std::fs::read_link(self.proc(&format!("fd/{fd}"))).ok()
    }

    fn working_directory(self) -> Option<PathBuf> {
        std::fs::read_link(self.proc("cwd")).ok()
    }

    /// The path that a call names, absolute, without `.` and `..`.
    pub fn path(self, call: &Call, place: Place) -> Option<PathBuf> {
        let base = |argument: Option<usize>| match argument.map(|argument| call.int(argument)) {
            None | Some(libc::AT_FDCWD) => self.working_directory(),
            Some(fd) => self.descriptor(fd),
        };
        let Some(argument) = place.path else { return base(place.directory) };
        let text = self.string(call.arguments[argument])?;
        let text = Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&text)).to_owned();
        if text.is_absolute() { Some(clean(&text)) } else { Some(clean(&base(place.directory)?.join(text))) }
    }

    /// Opens a path as the process would find it; the last component is not followed where it is a symlink.
    pub fn open(self, path: &Path, follow: bool) -> Result<File, Errno> {
        let root = rustix::fs::open(self.proc("root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let mut flags = OFlags::PATH | OFlags::CLOEXEC;
        flags.set(OFlags::NOFOLLOW, !follow);
        let below = path.strip_prefix("/").unwrap_or(path);
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let fd = openat2(root, below, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
        let stat = fstat(&fd)?;
        Ok(File { path: path.to_owned(), fd, stat })
    }

    /// The file behind one of its descriptors.
    pub fn open_descriptor(self, fd: i32) -> Result<File, Errno> {
        let path = self.proc(&format!("fd/{fd}"));
        let fd_path = self.descriptor(fd).ok_or(Errno::BADF)?;
        let opened = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let stat = fstat(&opened)?;
        Ok(File { path: fd_path, fd: opened, stat })
    }

    /// The file that a call names.
    pub fn file(self, call: &Call, place: Place, follow: bool) -> Option<File> {
        match (place.path, place.directory) {
            (None, Some(argument)) => self.open_descriptor(call.int(argument)).ok(),
            _ => self.open(&self.path(call, place)?, follow).ok(),
        }
    }

    /// The directory that is there of those that lead to `path`.
    pub fn existing(self, path: &Path) -> Option<File> {
        path.ancestors().find_map(|one| self.open(one, true).ok())
    }

    /// The mount that a file lies on: where it begins, as far as the path shows.
    pub fn mount_point(self, file: &File) -> PathBuf {
        let Some(id) = mount_id(&file.fd) else { return file.path.clone() };
        let same = |one: &&Path| self.open(one, true).is_ok_and(|above| mount_id(&above.fd) == Some(id));
        file.path.ancestors().take_while(same).last().unwrap_or(&file.path).to_owned()
    }

    /// The program that it runs.
    pub fn program(self) -> Option<PathBuf> {
        std::fs::read_link(self.proc("exe")).ok()
    }

    /// A file of the process in /proc, trimmed; none that is empty.
    pub fn text(self, below: &str) -> Option<String> {
        let bytes = std::fs::read(self.proc(below)).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim_matches(['\0', '\n', ' ']).to_owned();
        (!text.is_empty()).then_some(text)
    }
}

impl File {
    /// The flags of the mount that it lies on.
    pub fn mount_flags(&self) -> StatVfsMountFlags {
        fstatvfs(self.fd.as_fd()).map_or(StatVfsMountFlags::empty(), |vfs| vfs.f_flag)
    }

    /// Its type, `S_IF…`.
    pub fn kind(&self) -> u32 {
        self.stat.st_mode & libc::S_IFMT
    }
}

/// The kernel's number of the mount that a file lies on.
pub fn mount_id(fd: &OwnedFd) -> Option<u64> {
    statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok().map(|statx| statx.stx_mnt_id)
}

/// A path without `.` and `..`, as text.
fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => {
                cleaned.pop();
            }
            _ => {}
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_ends_where_it_is_not_mapped() {
        let text = c"here I am";
        let view = View::of(rustix::process::getpid());
        assert_eq!(view.string(text.as_ptr() as u64).unwrap(), b"here I am");
        assert_eq!(view.string(1), None);
        assert_eq!(view.memory(8, 4), b"");
    }

    #[test]
    fn files_are_found_with_their_mounts() {
        let view = View::of(rustix::process::getpid());
        let file = view.open(Path::new("/proc/sys/kernel/hostname"), true).unwrap();
        assert_eq!(view.mount_point(&file), Path::new("/proc"));
        assert_eq!(view.existing(Path::new("/usr/no/such")).unwrap().path, Path::new("/usr"));
        assert_eq!(clean(Path::new("/a/./b/../../../c")), Path::new("/c"));
    }
}
