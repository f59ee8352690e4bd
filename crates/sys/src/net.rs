//! The few things of network namespaces and netlink sockets that rustix lacks.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::check;

/// Brings the loopback interface of the caller's network namespace up.
///
/// # Errors
/// Those of socket(2) and netdevice(7).
pub fn loopback_up() -> io::Result<()> {
    let socket: OwnedFd = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: all-zero is a valid ifreq; the ioctl reads and writes that structure alone.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request).into()).map(drop)
    }
}

/// Whether an interface of the network namespace of `socket`, of whatever kind that is, has a carrier (ETHTOOL_GLINK).
///
/// Asking has an effect: what the kernel has still to do after a carrier came or went, which else waits its turn for up
/// to a second, is done first (linkwatch_sync_dev in net/core/link_watch.c).
///
/// # Errors
/// Those of netdevice(7); `InvalidInput` for a name that is too long.
pub fn has_carrier(socket: impl AsFd, name: &str) -> io::Result<bool> {
    const SIOCETHTOOL: libc::c_ulong = 0x8946;
    const ETHTOOL_GLINK: u32 = 0x0a;
    let mut value = [ETHTOOL_GLINK, 0];
    // SAFETY: all-zero is a valid ifreq; the name keeps its NUL, since it is shorter than the field; the ioctl reads
    // and writes the two numbers of struct ethtool_value, which outlive the call.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        if name.len() >= request.ifr_name.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        check(libc::ioctl(socket.as_fd().as_raw_fd(), SIOCETHTOOL, &raw const request).into())?;
    }
    Ok(value[1] != 0)
}

/// Has the kernel give its reasons in words when it refuses a request of this netlink socket, and leave the request
/// itself out of the answer.
///
/// # Errors
/// Those of setsockopt(2).
pub fn extended_acknowledgement(socket: impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
        // SAFETY: the value is one int, valid for the call.
        let answer = unsafe {
            libc::setsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_NETLINK,
                option,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        };
        check(answer.into())?;
    }
    Ok(())
}
