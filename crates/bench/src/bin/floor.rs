//! What a container's start costs at the least: one clone3 with the namespaces of the default configuration, its
//! mounts, pivot_root, exec of a static program, wait. No cgroups, no configuration, no security, no state.
//!
//! `floor ROOTFS PROGRAM`

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{WaitId, WaitIdOptions};
use sys::process::{CloneFlags, Cloned};

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(root), Some(program)) = (args.next(), args.next()) else {
        eprintln!("usage: floor ROOTFS PROGRAM");
        std::process::exit(2);
    };
    let flags = CloneFlags::NEWNS
        | CloneFlags::NEWPID
        | CloneFlags::NEWNET
        | CloneFlags::NEWIPC
        | CloneFlags::NEWUTS
        | CloneFlags::NEWCGROUP;
    match sys::process::clone(flags, None).expect("clone3") {
        Cloned::Child => {
            enter(&root).expect("mounts");
            let program = CString::new(program).expect("a path");
            panic!("exec: {}", sys::process::exec(&program, &[&program], &[] as &[CString]));
        }
        Cloned::Parent { pidfd, .. } => wait(&pidfd),
    }
}

fn enter(root: &str) -> rustix::io::Result<()> {
    use rustix::mount::{mount, mount_bind_recursive, mount_change, unmount};
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    mount_bind_recursive(root, root)?;
    let strict = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let mounts = [
        ("proc", "proc", MountFlags::empty(), None),
        ("tmpfs", "dev", MountFlags::NOSUID | MountFlags::STRICTATIME, Some(c"mode=755,size=65536k")),
        (
            "devpts",
            "dev/pts",
            MountFlags::NOSUID | MountFlags::NOEXEC,
            Some(c"newinstance,ptmxmode=0666,mode=0620,gid=5"),
        ),
        ("tmpfs", "dev/shm", strict, Some(c"mode=1777,size=65536k")),
        ("mqueue", "dev/mqueue", strict, None),
        ("sysfs", "sys", strict | MountFlags::RDONLY, None),
    ];
    for (kind, place, flags, data) in mounts {
        let target = format!("{root}/{place}");
        match rustix::fs::mkdir(&target, rustix::fs::Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        mount(kind, &target, kind, flags, data)?;
    }
    rustix::process::chdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}

fn wait(pidfd: &OwnedFd) {
    let status =
        rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).expect("waitid");
    std::process::exit(status.and_then(|status| status.exit_status()).unwrap_or(1));
}
