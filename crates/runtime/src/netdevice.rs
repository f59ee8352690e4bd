//! `linux.netDevices`: network devices of the host that move into the container (config-linux.md, *Network Devices*).
//!
//! ```text
//! parent   read_all    ifindex and addresses of each; changes nothing
//!          send        into the container's network namespace, under a name that nobody else uses
//! init     settle      the name that was asked for, addresses, up
//! parent   take_back   where the rest of the create failed: home again, as it was
//! ```
//! A device goes under the passing name `berth-INDEX`, since the kernel renames after it has moved: a name taken in
//! there would leave the device moved and the request failed. So nothing that carries the passing name is anybody
//! else's, and taking back never takes a device that was in there before.
//!
//! When a container ends, nothing is moved (the specification forbids it): with its network namespace the kernel ends
//! virtual devices and lets physical ones fall back to the initial namespace. The same happens where the runtime is
//! killed half-way. Only a create that fails in order takes its devices back, for a veth would be lost with it.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use namespace::netlink::{self, Netlink, Refusal, Request, attributes};
use oci::spec::NetDevice;
use rustix::io::Errno;

use crate::failure::{Failure, Result};

/// sizeof(struct ifinfomsg), sizeof(struct ifaddrmsg).
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;

/// Flags of an address that describe its state and not its configuration (if_addr.h).
const STATE_FLAGS: u32 =
    libc::IFA_F_PERMANENT | libc::IFA_F_TEMPORARY | libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED;
/// Metric of an address's route (if_addr.h).
const IFA_RT_PRIORITY: u16 = 9;
const IFA_FLAGS: u16 = 8;

/// A device on its way into the container.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    /// Its name on the host.
    host_name: String,
    /// Its name in the container; with `%d` the kernel puts in the first number that is free.
    name: String,
    /// Its index on the host.
    index: u32,
    was_up: bool,
    /// Its hardware address, by which it is known where its name and index may be others by now.
    hardware: Vec<u8>,
    addresses: Vec<Address>,
}

/// A permanent address of global scope, with the attributes that are set anew as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    family: u8,
    prefix: u8,
    attributes: Vec<(u16, Vec<u8>)>,
}

/// Devices and the network namespace that they were sent into.
#[derive(Debug)]
pub(crate) struct Transfer {
    namespace: OwnedFd,
    devices: Vec<Moved>,
}

impl Transfer {
    /// To send `devices` into `namespace`, which stays alive as long as this does.
    pub fn new(namespace: OwnedFd, devices: Vec<Moved>) -> Self {
        Self { namespace, devices }
    }

    /// Sends them all.
    pub fn send(&self) -> Result<()> {
        self.devices.iter().try_for_each(|device| device.send(self.namespace.as_fd()))
    }

    /// Brings home what got away, as far as it goes: the create has failed, and its failure is what is told.
    pub fn take_back(&self) {
        for device in &self.devices {
            let _ = device.take_back(self.namespace.as_fd());
        }
    }
}

impl Moved {
    /// Reads what must survive the move, in the caller's network namespace.
    ///
    /// # Errors
    /// Where there is no such device.
    pub fn read_all(devices: &BTreeMap<String, NetDevice>) -> Result<Vec<Self>> {
        if devices.is_empty() {
            return Ok(Vec::new());
        }
        let netlink = rtnetlink()?;
        let all = Request::new(libc::RTM_GETADDR, &[0; ADDRESS_HEADER]);
        let all =
            netlink.list(&all).map_err(|refusal| told(refusal, "list", "addresses of network devices"))?;
        let read = |(host_name, device): (&String, &NetDevice)| {
            let link = find(&netlink, host_name)
                .map_err(|refusal| told(refusal, "find network device", host_name))?;
            Ok(Self {
                host_name: host_name.clone(),
                name: if device.name.is_empty() { host_name } else { &device.name }.clone(),
                index: link.index,
                was_up: link.up,
                addresses: all.iter().filter_map(|body| Address::parse(body, link.index)).collect(),
                hardware: link.hardware,
            })
        };
        devices.iter().map(read).collect()
    }

    fn send(&self, namespace: BorrowedFd<'_>) -> Result<()> {
        relocate(&rtnetlink()?, self.index, namespace, &self.passing_name())
            .map_err(|refusal| told(refusal, "move network device", &self.host_name))
    }

    /// Gives the device its name in the container, its addresses, and sets it up; called in there.
    pub fn settle(&self) -> Result<()> {
        let netlink = rtnetlink()?;
        let link = find(&netlink, &self.passing_name())
            .map_err(|refusal| told(refusal, "find moved network device", &self.host_name))?;
        rename(&netlink, link.index, &self.name).map_err(|refusal| match refusal.errno {
            Errno::EXIST => Failure::new("rename network device", &self.host_name, Errno::EXIST)
                .hint(format!("the container's network namespace has a {:?} already", self.name)),
            _ => told(refusal, "rename network device", &self.host_name),
        })?;
        self.configure(&netlink, link.index, true)
    }

    /// Brings the device home from the namespace it was sent into, and makes it what it was. A device that never left
    /// is left alone.
    fn take_back(&self, namespace: BorrowedFd<'_>) -> Result<()> {
        let failed = |refusal: Refusal| told(refusal, "take back network device", &self.host_name);
        let (home, there) = (rtnetlink()?, Netlink::open_in(namespace).map_err(failed)?);
        if find(&home, &self.host_name).is_ok_and(|link| link.hardware == self.hardware) {
            return Ok(());
        }
        let own = netlink::own_namespace().map_err(failed)?;
        let away = self.find_away(&there).map_err(failed)?;
        relocate(&there, away, own.as_fd(), &self.host_name).map_err(failed)?;
        let link = find(&home, &self.host_name).map_err(failed)?;
        self.configure(&home, link.index, self.was_up)
    }

    /// Under the passing name, or settled: then the name that was asked for is the device's own.
    fn find_away(&self, there: &Netlink) -> Result<u32, Refusal> {
        if let Ok(link) = find(there, &self.passing_name()) {
            return Ok(link.index);
        }
        if !self.name.contains('%') {
            return find(there, &self.name).map(|link| link.index);
        }
        let all = there.list(&Request::new(libc::RTM_GETLINK, &link_header(0, 0, 0)))?;
        let mut links = all.iter().filter_map(|body| Link::parse(body));
        let link = links.find(|link| link.hardware == self.hardware).ok_or(Errno::NODEV)?;
        Ok(link.index)
    }

    /// Moving and renaming took the addresses away and set the device down.
    fn configure(&self, netlink: &Netlink, index: u32, up: bool) -> Result<()> {
        for address in &self.addresses {
            netlink
                .act(&address.request(index))
                .map_err(|refusal| told(refusal, "add address to network device", &self.name))?;
        }
        let flag = if up { libc::IFF_UP as u32 } else { 0 };
        netlink
            .act(&Request::new(libc::RTM_NEWLINK, &link_header(index, flag, libc::IFF_UP as u32)))
            .map_err(|refusal| told(refusal, "set up network device", &self.name))
    }

    fn passing_name(&self) -> String {
        format!("berth-{}", self.index)
    }
}

impl Address {
    /// struct ifaddrmsg (family, prefix length, flags, scope, index) and its attributes; `None` for what does not
    /// move along: other devices' addresses, those with a lifetime, those of the link.
    fn parse(body: &[u8], of: u32) -> Option<Self> {
        let &[family, prefix, flags, scope, ref index @ ..] = body.first_chunk::<ADDRESS_HEADER>()?;
        let mut flags = u32::from(flags);
        let mut kept = Vec::new();
        for (kind, value) in attributes(body, ADDRESS_HEADER) {
            match kind {
                IFA_FLAGS => flags = u32::from_ne_bytes(value.try_into().ok()?),
                libc::IFA_LOCAL | libc::IFA_ADDRESS | libc::IFA_BROADCAST | IFA_RT_PRIORITY => {
                    kept.push((kind, value.to_vec()));
                }
                _ => {}
            }
        }
        let moves = u32::from_ne_bytes(*index) == of
            && scope == libc::RT_SCOPE_UNIVERSE
            && flags & libc::IFA_F_PERMANENT != 0;
        kept.push((IFA_FLAGS, (flags & !STATE_FLAGS).to_ne_bytes().to_vec()));
        moves.then_some(Self { family, prefix, attributes: kept })
    }

    fn request(&self, index: u32) -> Request {
        let [a, b, c, d] = index.to_ne_bytes();
        let header = [self.family, self.prefix, 0, libc::RT_SCOPE_UNIVERSE, a, b, c, d];
        let request = Request::new(libc::RTM_NEWADDR, &header);
        self.attributes.iter().fold(request, |request, (kind, value)| request.attribute(*kind, value))
    }
}

/// struct ifinfomsg: family, padding, type, index, flags, which flags to change.
fn link_header(index: u32, flags: u32, change: u32) -> [u8; LINK_HEADER] {
    let mut header = [0; LINK_HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&change.to_ne_bytes());
    header
}

/// A socket in the caller's network namespace.
fn rtnetlink() -> Result<Netlink> {
    Netlink::open().map_err(|refusal| told(refusal, "open", "rtnetlink socket"))
}

/// Names what was refused.
fn told(refusal: Refusal, operation: &str, object: impl std::fmt::Display) -> Failure {
    Failure::new(operation, object, refusal.errno).hint(refusal.words)
}

/// What of a device is of interest here.
struct Link {
    index: u32,
    up: bool,
    hardware: Vec<u8>,
}

impl Link {
    fn parse(body: &[u8]) -> Option<Self> {
        let header = body.first_chunk::<LINK_HEADER>()?;
        let number = |at: usize| Some(u32::from_ne_bytes(*header.get(at..)?.first_chunk()?));
        let hardware = attributes(body, LINK_HEADER).find(|(kind, _)| *kind == libc::IFLA_ADDRESS);
        Some(Self {
            index: number(4)?,
            up: number(8)? & libc::IFF_UP as u32 != 0,
            hardware: hardware.map(|(_, address)| address.to_vec()).unwrap_or_default(),
        })
    }
}

/// The device of that name.
fn find(netlink: &Netlink, name: &str) -> Result<Link, Refusal> {
    let request = Request::new(libc::RTM_GETLINK, &link_header(0, 0, 0)).text(libc::IFLA_IFNAME, name);
    Link::parse(&netlink.get(&request)?).ok_or_else(|| Errno::PROTO.into())
}

fn rename(netlink: &Netlink, index: u32, name: &str) -> Result<(), Refusal> {
    let request = Request::new(libc::RTM_NEWLINK, &link_header(index, 0, 0));
    netlink.act(&request.text(libc::IFLA_IFNAME, name))
}

/// Moves and renames in one request: in between, a program that watches for devices would see the old name.
fn relocate(netlink: &Netlink, index: u32, to: BorrowedFd<'_>, name: &str) -> Result<(), Refusal> {
    let request = Request::new(libc::RTM_NEWLINK, &link_header(index, 0, 0));
    let to = to.as_raw_fd().to_ne_bytes();
    netlink.act(&request.attribute(libc::IFLA_NET_NS_FD, &to).text(libc::IFLA_IFNAME, name))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use sys::process::NamespaceFlags;

    use super::*;

    /// Runs in a thread with a network namespace of its own, that of the host as far as the test goes.
    fn on_a_host(test: impl FnOnce() + Send + 'static) {
        let thread = std::thread::spawn(|| {
            sys::process::unshare(NamespaceFlags::NET).unwrap();
            test();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }

    /// A process with a network namespace of its own; both end with it.
    struct Container(Child, OwnedFd);

    impl Container {
        fn new() -> Self {
            // The shell says when it is in there, then waits for the end of its stdin.
            let mut command = Command::new("unshare");
            command
                .args(["--net", "sh", "-c", "echo; exec cat"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            std::io::Read::read_exact(&mut child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
            let path = format!("/proc/{}/ns/net", child.id());
            let namespace =
                rustix::fs::open(path, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
            Self(child, namespace)
        }

        fn namespace(&self) -> BorrowedFd<'_> {
            self.1.as_fd()
        }

        /// What init does.
        fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
            std::thread::scope(|scope| {
                let visit = scope.spawn(|| {
                    sys::process::setns(self.1.as_fd(), NamespaceFlags::NET).unwrap();
                    what()
                });
                visit.join().unwrap()
            })
        }
    }

    impl Drop for Container {
        fn drop(&mut self) {
            drop(self.0.stdin.take());
            self.0.wait().unwrap();
        }
    }

    fn ip(args: &str) -> String {
        let output = Command::new("ip").args(args.split(' ')).output().unwrap();
        assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn devices(list: &[(&str, &str)]) -> BTreeMap<String, NetDevice> {
        list.iter().map(|(host, name)| ((*host).into(), NetDevice { name: (*name).into() })).collect()
    }

    fn one(host: &str, name: &str) -> Moved {
        Moved::read_all(&devices(&[(host, name)])).unwrap().remove(0)
    }

    #[test]
    fn a_device_arrives_with_its_permanent_addresses_and_up() {
        on_a_host(|| {
            ip("link add veth0 mtu 1400 type veth peer name veth1");
            ip("addr add 10.1.0.2/16 broadcast 10.1.255.255 dev veth0");
            ip("addr add 10.1.0.3 peer 10.2.0.1 metric 77 dev veth0");
            ip("addr add 10.9.0.9/24 valid_lft 1000 preferred_lft 1000 dev veth0");
            ip("addr add fd00::5/64 nodad dev veth0");
            ip("link set veth0 up");
            let device = one("veth0", "eth5");
            let container = Container::new();
            device.send(container.namespace()).unwrap();
            container.inside(|| device.settle()).unwrap();
            let addresses = container.inside(|| ip("-o addr show dev eth5"));
            for expected in
                ["10.1.0.2/16 brd 10.1.255.255", "10.1.0.3 peer 10.2.0.1/32", "metric 77", "fd00::5/64"]
            {
                assert!(addresses.contains(expected), "{expected}: {addresses}");
            }
            assert!(!addresses.contains("10.9.0.9"), "an address with a lifetime moved along: {addresses}");
            let link = container.inside(|| ip("link show dev eth5"));
            assert!(link.contains("mtu 1400") && link.contains(",UP"), "{link}");
        });
    }

    #[test]
    fn the_kernel_completes_a_template() {
        on_a_host(|| {
            ip("link add va type veth peer name vb");
            let container = Container::new();
            let moved = Moved::read_all(&devices(&[("va", "net%d"), ("vb", "net%d")])).unwrap();
            for device in &moved {
                device.send(container.namespace()).unwrap();
            }
            container.inside(|| moved.iter().try_for_each(Moved::settle)).unwrap();
            container.inside(|| ip("link show dev net0") + &ip("link show dev net1"));
            moved.iter().for_each(|device| device.take_back(container.namespace()).unwrap());
            assert!(ip("link show").contains("va@vb"));
        });
    }

    #[test]
    fn a_name_that_is_taken_is_an_error_and_everything_comes_home() {
        on_a_host(|| {
            ip("link add va type veth peer name vb");
            ip("addr add 10.1.0.2/16 dev va");
            ip("link set va up");
            let container = Container::new();
            container.inside(|| ip("link add eth0 type veth peer name other"));
            let before = container.inside(|| ip("-o link show dev eth0"));
            let moved = Moved::read_all(&devices(&[("va", "eth0"), ("vb", "")])).unwrap();
            moved.iter().for_each(|device| device.send(container.namespace()).unwrap());
            let failure = container.inside(|| moved[0].settle()).unwrap_err();
            assert!(failure.is(Errno::EXIST) && failure.to_string().contains("\"eth0\""), "{failure}");
            container.inside(|| moved[1].settle()).unwrap();
            // Twice: what is home already stays as it is.
            for device in moved.iter().chain(&moved) {
                device.take_back(container.namespace()).unwrap();
            }
            let (a, b) = (ip("addr show dev va"), ip("link show dev vb"));
            assert!(a.contains("10.1.0.2/16") && a.contains(",UP") && !b.contains(",UP"), "{a}{b}");
            assert_eq!(container.inside(|| ip("-o link show dev eth0")), before);
        });
    }

    #[test]
    fn the_kernels_words_are_told() {
        on_a_host(|| {
            let failure = Moved::read_all(&devices(&[("absent", "")])).unwrap_err();
            assert!(failure.is(Errno::NODEV) && failure.to_string().contains("absent"), "{failure}");
            let container = Container::new();
            let failure = one("lo", "").send(container.namespace()).unwrap_err();
            // The words are newer than the refusal: Linux 6.11.
            assert!(failure.is(Errno::INVAL), "{failure}");
            assert!(failure.to_string().contains("immutable"), "{failure}");
        });
    }
}
