//! A system call as it was seen, and which of its arguments name files.

use seccomp::{Architecture, syscalls};

/// A system call at its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The ABI; none that seccomp has no name for.
    pub architecture: Option<Architecture>,
    /// Its number.
    pub number: u32,
    /// Its name; empty where the catalogue has none.
    pub name: &'static str,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// Where a call has a file: the argument with its path, and the one with the directory that a relative one begins at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The argument with the path; none where the descriptor itself is meant.
    pub path: Option<usize>,
    /// The argument with a descriptor.
    pub directory: Option<usize>,
}

const fn path(path: usize) -> Place {
    Place { path: Some(path), directory: None }
}

const fn at(directory: usize, path: usize) -> Place {
    Place { path: Some(path), directory: Some(directory) }
}

const fn descriptor(argument: usize) -> Place {
    Place { path: None, directory: Some(argument) }
}

impl Call {
    /// A call by its numbers.
    pub fn new(audit_architecture: u32, number: u64, arguments: [u64; 6]) -> Self {
        let architecture = Architecture::ALL.into_iter().find(|one| one.audit() == audit_architecture);
        let number = number as u32;
        let name = architecture.and_then(|one| syscalls::name(one, number)).unwrap_or_default();
        Self { architecture, number, name, arguments }
    }

    /// As the C type `int`.
    pub fn int(&self, argument: usize) -> i32 {
        self.arguments[argument] as i32
    }

    /// The files that the call names, in the order of its arguments.
    pub fn places(&self) -> &'static [Place] {
        match self.name {
            "open" | "creat" | "stat" | "stat64" | "lstat" | "lstat64" | "access" | "chdir" | "mkdir"
            | "rmdir" | "unlink" | "readlink" | "chmod" | "chown" | "lchown" | "truncate" | "truncate64"
            | "execve" | "mknod" | "chroot" | "statfs" | "utime" | "utimes" | "setxattr" | "lsetxattr"
            | "removexattr" | "lremovexattr" | "getxattr" | "lgetxattr" | "umount" | "umount2" | "swapon"
            | "swapoff" | "acct" | "pivot_root" => const { &[path(0)] },
            "rename" | "link" => const { &[path(0), path(1)] },
            "symlink" | "mount" | "inotify_add_watch" => const { &[path(1)] },
            "openat" | "openat2" | "mkdirat" | "unlinkat" | "newfstatat" | "fstatat64" | "faccessat"
            | "faccessat2" | "fchmodat" | "fchmodat2" | "fchownat" | "mknodat" | "readlinkat"
            | "utimensat" | "utimensat_time64" | "futimesat" | "execveat" | "name_to_handle_at" | "statx"
            | "open_tree" | "mount_setattr" | "setxattrat" | "removexattrat" => const { &[at(0, 1)] },
            "renameat" | "renameat2" | "linkat" | "move_mount" => const { &[at(0, 1), at(2, 3)] },
            "symlinkat" => const { &[at(1, 2)] },
            "fchown" | "fchmod" | "ftruncate" | "ftruncate64" | "fchdir" | "fsetxattr" | "fremovexattr"
            | "write" | "pwrite64" | "writev" | "read" | "ioctl" | "fcntl" | "fallocate" | "setns" => {
                const { &[descriptor(0)] }
            }
            _ => &[],
        }
    }
}

/// The name of an errno that isolation gives.
pub fn errno_name(errno: i32) -> String {
    match errno {
        libc::EPERM => "EPERM".to_owned(),
        libc::EACCES => "EACCES".to_owned(),
        libc::ENOSYS => "ENOSYS".to_owned(),
        libc::EROFS => "EROFS".to_owned(),
        libc::EAGAIN => "EAGAIN".to_owned(),
        libc::ENOMEM => "ENOMEM".to_owned(),
        libc::EINVAL => "EINVAL".to_owned(),
        libc::ENOSPC => "ENOSPC".to_owned(),
        libc::EMFILE => "EMFILE".to_owned(),
        libc::EUSERS => "EUSERS".to_owned(),
        other => format!("errno {other}"),
    }
}
