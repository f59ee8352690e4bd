//! A call's arguments in words, as far as they say what it was about.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::call::Call;
use crate::view::View;

/// What a call was about: paths, else the arguments that matter; empty where nothing is known of them.
pub fn object(view: View, call: &Call) -> String {
    let paths: Vec<String> = call
        .places()
        .iter()
        .filter_map(|place| view.path(call, *place))
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    let text = |argument: usize| {
        let bytes = view.string(call.arguments[argument])?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let path = || paths.first().cloned().unwrap_or_default();
    match call.name {
        "mount" => {
            let [source, kind] = [text(0), text(2)].map(Option::unwrap_or_default);
            match kind.as_str() {
                "" => format!("{source} on {}", path()),
                kind => format!("{source} on {}, type {kind}", path()),
            }
        }
        "fsopen" => text(0).unwrap_or_default(),
        "socket" => format!("{}, {}", family(call.int(0)), socket_type(call.int(1))),
        "bind" | "connect" => {
            let length = (call.arguments[2] as usize).min(110);
            address(&view.memory(call.arguments[1], length)).unwrap_or_default()
        }
        "unshare" | "clone" => namespaces(call.arguments[0]),
        "clone3" => view.word(call.arguments[0]).map(namespaces).unwrap_or_default(),
        "kill" | "tkill" => format!("pid {}, signal {}", call.int(0), call.int(1)),
        "setuid" | "setgid" | "setfsuid" | "setfsgid" => call.int(0).to_string(),
        "setreuid" | "setregid" => format!("{}, {}", call.int(0), call.int(1)),
        "setresuid" | "setresgid" => format!("{}, {}, {}", call.int(0), call.int(1), call.int(2)),
        "chown" | "lchown" | "fchown" => format!("{}, {}:{}", path(), call.int(1), call.int(2)),
        "fchownat" => format!("{}, {}:{}", path(), call.int(2), call.int(3)),
        "ptrace" => match call.arguments[0] {
            0 => "PTRACE_TRACEME".to_owned(),
            16 => format!("PTRACE_ATTACH, pid {}", call.int(1)),
            0x4206 => format!("PTRACE_SEIZE, pid {}", call.int(1)),
            request => format!("{request:#x}, pid {}", call.int(1)),
        },
        "personality" | "prctl" | "keyctl" => format!("{:#x}", call.arguments[0]),
        "ioctl" => format!("{}, {:#x}", path(), call.arguments[1]),
        "setxattr" | "lsetxattr" | "fsetxattr" => format!("{}, {}", path(), text(1).unwrap_or_default()),
        "sethostname" | "setdomainname" => {
            let bytes = view.memory(call.arguments[0], (call.arguments[1] as usize).min(64));
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => paths.join(", "),
    }
}

fn family(family: i32) -> String {
    let known = match family {
        libc::AF_UNIX => "AF_UNIX",
        libc::AF_INET => "AF_INET",
        libc::AF_INET6 => "AF_INET6",
        libc::AF_NETLINK => "AF_NETLINK",
        libc::AF_PACKET => "AF_PACKET",
        libc::AF_ALG => "AF_ALG",
        libc::AF_VSOCK => "AF_VSOCK",
        other => return format!("family {other}"),
    };
    known.to_owned()
}

fn socket_type(kind: i32) -> String {
    let known = match kind & 0xf {
        libc::SOCK_STREAM => "SOCK_STREAM",
        libc::SOCK_DGRAM => "SOCK_DGRAM",
        libc::SOCK_RAW => "SOCK_RAW",
        libc::SOCK_SEQPACKET => "SOCK_SEQPACKET",
        other => return format!("type {other}"),
    };
    known.to_owned()
}

/// A socket address as one writes it.
fn address(bytes: &[u8]) -> Option<String> {
    let family = i32::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
    let port = || Some(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?));
    match family {
        libc::AF_INET => {
            let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Some(format!("{}:{}", Ipv4Addr::from(ip), port()?))
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            Some(format!("[{}]:{}", Ipv6Addr::from(ip), port()?))
        }
        libc::AF_UNIX => {
            let name = bytes.get(2..)?.split(|&byte| byte == 0).next()?;
            Some(String::from_utf8_lossy(name).into_owned())
        }
        _ => None,
    }
}

fn namespaces(flags: u64) -> String {
    const FLAGS: [(i32, &str); 8] = [
        (libc::CLONE_NEWNS, "CLONE_NEWNS"),
        (libc::CLONE_NEWCGROUP, "CLONE_NEWCGROUP"),
        (libc::CLONE_NEWUTS, "CLONE_NEWUTS"),
        (libc::CLONE_NEWIPC, "CLONE_NEWIPC"),
        (libc::CLONE_NEWUSER, "CLONE_NEWUSER"),
        (libc::CLONE_NEWPID, "CLONE_NEWPID"),
        (libc::CLONE_NEWNET, "CLONE_NEWNET"),
        (0x80, "CLONE_NEWTIME"),
    ];
    let named =
        FLAGS.iter().filter(|(flag, _)| flags & *flag as u64 != 0 && (*flag != 0x80 || flags & 0xff == 0x80));
    named.map(|(_, name)| *name).collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &'static str, arguments: [u64; 6]) -> String {
        let call = Call { architecture: None, number: 0, name, arguments };
        object(View::of(rustix::process::getpid()), &call)
    }

    #[test]
    fn arguments_are_told_in_words() {
        assert_eq!(call("socket", [2, 3, 1, 0, 0, 0]), "AF_INET, SOCK_RAW");
        assert_eq!(call("unshare", [0x1002_0000, 0, 0, 0, 0, 0]), "CLONE_NEWNS|CLONE_NEWUSER");
        assert_eq!(call("chown", [c"/etc/../x".as_ptr() as u64, 5, u64::MAX, 0, 0, 0]), "/x, 5:-1");
        let address: [u8; 16] = [2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(call("bind", [3, address.as_ptr() as u64, 16, 0, 0, 0]), "127.0.0.1:80");
        assert_eq!(call("nothing", [0; 6]), "");
    }
}
