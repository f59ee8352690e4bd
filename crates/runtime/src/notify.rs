//! Readiness of a service that is a container (sd_notify(3)). The host's socket can't be reached from inside, so the
//! container has one of its own: in a directory of its state, which is mounted at /run/notify, as with runc.

use std::fs::{DirBuilder, Permissions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use oci::ContainerId;
use oci::spec::Mount;
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::failure::{OrFail, Result};
use crate::state::StateRoot;

const NAME: &str = "notify.sock";

/// What the program is told.
pub const VARIABLE: &str = "NOTIFY_SOCKET=/run/notify/notify.sock";

/// Where a container's socket is on the host.
pub fn directory(root: &StateRoot, id: &ContainerId) -> PathBuf {
    root.path().join(id.as_str()).join("notify")
}

/// Makes the socket in an existing directory. The container's users, whoever they are, may write to it.
///
/// # Errors
/// Those of bind(2): there is one already, for instance.
pub fn listen(directory: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(directory, flags, Mode::empty()).or_fail_at("open", directory)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
        .or_fail("make", "a socket")?;
    // A socket's path may have 108 bytes, and that of a state directory is of any length.
    let short = format!("/proc/self/fd/{}/{NAME}", dir.as_raw_fd());
    let path = directory.join(NAME);
    let address = SocketAddrUnix::new(&*short).or_fail_at("name", &path)?;
    rustix::net::bind(&socket, &address).or_fail_at("bind notify socket to", &path)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o777)).or_fail_at("chmod", &path)?;
    Ok(socket)
}

pub(crate) fn make_directory(directory: &Path) -> Result<()> {
    let made = DirBuilder::new().mode(0o755).create(directory);
    made.or_fail_at("make directory", directory)?;
    std::fs::set_permissions(directory, Permissions::from_mode(0o755)).or_fail_at("chmod", directory)
}

pub(crate) fn mount(directory: &Path) -> Mount {
    Mount {
        destination: "/run/notify".into(),
        source: directory.to_string_lossy().into_owned(),
        options: ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).into(),
        ..Mount::default()
    }
}
