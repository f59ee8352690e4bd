//! `netns exec`: runs a program in a network namespace, as ip-netns(8) does: with a /sys that shows its links, and
//! the files of /etc/netns/NAME in the place of those in /etc.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use namespace::{FileError, NamespaceFile};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use sys::process::NamespaceFlags;

use crate::launch::{self, ExecError};

/// Why the program was not run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum NetnsExecError {
    #[error(transparent)]
    Namespace(#[from] FileError),
    #[error("make a mount namespace: {0}")]
    Unshare(#[source] io::Error),
    #[error("{action} {}: {source}", path.display())]
    Mount { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{0}")]
    Exec(#[from] ExecError),
}

/// Becomes the program. Returns only if that failed. Without a name nothing in /etc is replaced.
pub fn exec(file: &NamespaceFile, name: Option<&str>, command: &[OsString]) -> NetnsExecError {
    match enter(file, name) {
        Ok(()) => launch::exec(command, None).into(),
        Err(error) => error,
    }
}

fn enter(file: &NamespaceFile, name: Option<&str>) -> Result<(), NetnsExecError> {
    file.enter()?;
    sys::process::unshare(NamespaceFlags::MOUNT).map_err(NetnsExecError::Unshare)?;
    let propagation = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    let root = Path::new("/");
    rustix::mount::mount_change(root, propagation).map_err(failed("make a slave of", root))?;
    remount_sys()?;
    name.map_or(Ok(()), replace_configuration)
}

/// A sysfs shows the links of the network namespace that mounted it.
fn remount_sys() -> Result<(), NetnsExecError> {
    let sys = Path::new("/sys");
    let read_only = rustix::fs::statvfs(sys)
        .is_ok_and(|stat| stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    let flags = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
    // The mounts below, cgroups above all, go with it.
    let detached = rustix::mount::unmount(sys, UnmountFlags::DETACH);
    if detached.is_ok() || detached == Err(rustix::io::Errno::INVAL) {
        rustix::mount::mount("sysfs", sys, "sysfs", flags, None)
            .map_err(failed("mount a new sysfs on", sys))?;
    }
    Ok(())
}

fn replace_configuration(name: &str) -> Result<(), NetnsExecError> {
    let Ok(entries) = std::fs::read_dir(Path::new("/etc/netns").join(name)) else { return Ok(()) };
    for entry in entries.flatten() {
        let target = Path::new("/etc").join(entry.file_name());
        rustix::mount::mount_bind(entry.path(), &target).map_err(failed("mount its own file on", &target))?;
    }
    Ok(())
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(rustix::io::Errno) -> NetnsExecError {
    let path = path.to_owned();
    move |errno| NetnsExecError::Mount { action, path, source: errno.into() }
}
