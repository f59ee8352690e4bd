//! What is printed: each part reads a few files of /proc and says what they mean.

mod cgroup;
mod mounts;
mod namespaces;
mod privileges;
mod text;

#[cfg(test)]
pub use privileges::NAMES as CAPABILITIES;

use core::ffi::CStr;
use core::fmt::{self, Write};

/// Where the answers come from: the kernel, or a test.
pub trait System {
    /// The start of a file, as much as `buffer` takes; none if it can't be read.
    fn read<'b>(&self, path: &CStr, buffer: &'b mut [u8]) -> Option<&'b [u8]>;
    /// What a symbolic link holds.
    fn link<'b>(&self, path: &CStr, buffer: &'b mut [u8]) -> Option<&'b [u8]>;
    /// The IPv4 addresses.
    fn addresses(&self, visit: &mut dyn FnMut(Address<'_>));
}

/// An IPv4 address of an interface.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    /// The interface.
    pub interface: &'a str,
    /// The address.
    pub address: [u8; 4],
    /// The length of its network's prefix.
    pub prefix: u32,
}

/// Room for a file: the mounts of a container fit many times.
const FILE: usize = 64 << 10;

/// Prints everything.
pub fn report(system: &impl System, out: &mut impl Write) -> fmt::Result {
    let mut buffer = [0; FILE];
    writeln!(out, "Hello from berth! This program runs in a container, and this is what isolates it.\n")?;
    let mut name = [0; 256];
    let name = text::first_line(system.read(c"/proc/sys/kernel/hostname", &mut name));
    let status = system.read(c"/proc/self/status", &mut buffer).unwrap_or_default();
    let of = |field| text::field(status, field).unwrap_or("?");
    let id = |ids: &'static str| of(ids).split_ascii_whitespace().next().unwrap_or("?");
    label(out, "process")?;
    writeln!(out, "pid {}, uid {}, gid {}, on host {name}", of("Pid"), id("Uid"), id("Gid"))?;
    namespaces::print(system, out)?;
    namespaces::print_maps(system, out)?;
    privileges::print(system, status, out)?;
    cgroup::print(system, out)?;
    mounts::print(system, &mut buffer, out)?;
    addresses(system, out)
}

/// Begins a part.
fn label(out: &mut impl Write, name: &str) -> fmt::Result {
    write!(out, "{name:<14}")
}

/// A further line of a part.
fn indent(out: &mut impl Write) -> fmt::Result {
    label(out, "")
}

fn addresses(system: &impl System, out: &mut impl Write) -> fmt::Result {
    label(out, "addresses")?;
    let (mut result, mut any) = (Ok(()), false);
    system.addresses(&mut |Address { interface, address: [a, b, c, d], prefix }| {
        let separator = if any { ", " } else { "" };
        any = true;
        result = result.and_then(|()| write!(out, "{separator}{interface} {a}.{b}.{c}.{d}/{prefix}"));
    });
    result?;
    let mut buffer = [0; 4096];
    let sixes = system.read(c"/proc/net/if_inet6", &mut buffer).unwrap_or_default();
    for line in text::lines(sixes) {
        // "fe80000000000000005400fffe123456 02 40 20 80     eth0"
        let mut fields = line.split_ascii_whitespace();
        let (Some(address), Some(_), Some(prefix), Some(interface)) =
            (fields.next(), fields.next(), fields.next(), fields.nth(2))
        else {
            continue;
        };
        let (Ok(address), Ok(prefix)) = (u128::from_str_radix(address, 16), u8::from_str_radix(prefix, 16))
        else {
            continue;
        };
        let separator = if any { ", " } else { "" };
        any = true;
        let address = core::net::Ipv6Addr::from_bits(address);
        write!(out, "{separator}{interface} {address}/{prefix}")?;
    }
    writeln!(out, "{}", if any { "" } else { "none" })
}
