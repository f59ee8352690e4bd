//! A host of the test's own: a network namespace with a link to the "world", containers in namespaces beside it. Nothing
//! of the real host is touched, and everything ends with the test.

#![allow(dead_code, reason = "not every test needs everything")]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use network::{AttachRequest, Attachment, EndpointRequest, Networks, PortRequest, Protocol};
use sys::process::NamespaceFlags;

/// A network namespace.
pub struct Namespace(OwnedFd);

impl Namespace {
    /// A new one, with loopback up.
    pub fn new() -> Self {
        let make = || {
            sys::process::unshare(NamespaceFlags::NET).unwrap();
            sys::net::loopback_up().unwrap();
            namespace::netlink::own_namespace().unwrap()
        };
        Self(std::thread::spawn(make).join().unwrap())
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Does something in there, in a thread of its own.
    pub fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let visit = scope.spawn(|| {
                sys::process::setns(self.0.as_fd(), NamespaceFlags::NET).unwrap();
                what()
            });
            visit.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a command in there; its output.
    pub fn run(&self, command: &str) -> String {
        let command = command.to_owned();
        self.inside(move || run(&command))
    }
}

/// Runs a command, which must succeed; its output.
pub fn run(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// How long an answer is waited for that must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The test's host.
pub struct Host {
    pub host: Namespace,
    pub world: Namespace,
    pub dir: tempfile::TempDir,
    pub dead: Arc<Mutex<Vec<String>>>,
    tag: Option<&'static str>,
}

/// The world's addresses, and the host's in it.
pub const WORLD4: &str = "203.0.113.1";
pub const WORLD6: &str = "2001:db8:1::1";
pub const HOST4: &str = "203.0.113.2";
pub const HOST6: &str = "2001:db8:1::2";

impl Host {
    pub fn new() -> Self {
        let (host, world) = (Namespace::new(), Namespace::new());
        let dir = tempfile::tempdir().unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&world.fd());
        let me = std::process::id();
        host.run(&format!(
            "ip link add out0 type veth peer name in0 netns /proc/{me}/fd/{fd}; ip addr add {HOST4}/24 dev out0; \
             ip addr add {HOST6}/64 dev out0 nodad; ip link set out0 up; ip route add default via {WORLD4}; \
             ip route add default via {WORLD6}"
        ));
        world.run(&format!(
            "ip addr add {WORLD4}/24 dev in0; ip addr add {WORLD6}/64 dev in0 nodad; ip link set in0 up"
        ));
        // Until the link has its carrier, which the kernel sees to when it gets to it.
        for address in [WORLD4, WORLD6] {
            testkit::eventually("the world is there", || {
                let address = SocketAddr::new(ip(address), 1);
                let answer =
                    host.inside(move || TcpStream::connect_timeout(&address, Duration::from_millis(200)));
                answer.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused).then_some(())
            });
        }
        Self { host, world, dir, dead: Arc::default(), tag: None }
    }

    /// The same host with another root of berth's.
    pub fn with_another_root(&self, tag: &'static str) -> Self {
        let same = |namespace: &Namespace| Namespace(namespace.0.try_clone().unwrap());
        let dir = tempfile::tempdir().unwrap();
        Self { host: same(&self.host), world: same(&self.world), dir, dead: Arc::default(), tag: Some(tag) }
    }

    pub fn networks(&self) -> Networks {
        let dead = Arc::clone(&self.dead);
        let alive = move |id: &str| !dead.lock().unwrap().iter().any(|dead| dead == id);
        let (root, run) = (self.dir.path().join("root"), self.dir.path().join("run"));
        let networks = Networks::open(&root, &run).with_liveness(Box::new(alive));
        match self.tag {
            Some(tag) => networks.beside(tag),
            None => networks,
        }
    }

    pub fn kill(&self, container: &Container) {
        self.dead.lock().unwrap().push(container.id.clone());
    }

    /// A container that is connected as asked for.
    pub fn container(&self, name: &str, request: impl FnOnce(&mut AttachRequest)) -> Container {
        self.try_container(name, request).unwrap()
    }

    pub fn try_container(
        &self,
        name: &str,
        request: impl FnOnce(&mut AttachRequest),
    ) -> Result<Container, network::Error> {
        let namespace = Namespace::new();
        let mut wanted =
            AttachRequest { container: id(), name: name.into(), hostname: name.into(), ..Default::default() };
        request(&mut wanted);
        if wanted.endpoints.is_empty() {
            wanted.endpoints.push(on("bridge"));
        }
        let networks = self.networks();
        let attachment = self.host.inside(|| networks.attach(&wanted, namespace.fd()))?;
        Ok(Container { id: wanted.container, namespace, attachment })
    }

    /// Everything of berth that the host has: links, rules, files.
    pub fn leftovers(&self) -> Vec<String> {
        let links = self.host.run("ip -o link show type veth");
        let mut left: Vec<String> =
            links.lines().filter(|line| !line.contains("out0")).map(|line| format!("link {line}")).collect();
        for what in ["leases", "names", "containers", "ports"] {
            let dir = self.dir.path().join("run/network").join(what);
            let files =
                run(&format!("find {} -not -type d -not -name '.*' -not -name lock || true", dir.display()));
            left.extend(files.lines().map(str::to_owned));
        }
        left
    }
}

/// A random id.
pub fn id() -> String {
    let mut bytes = [0; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A connection to a network, nothing fixed.
pub fn on(network: &str) -> EndpointRequest {
    EndpointRequest { network: network.into(), ..Default::default() }
}

/// `-p HOST:CONTAINER`.
pub fn publish(host: u16, container: u16, protocol: Protocol) -> PortRequest {
    PortRequest { host_ip: None, host: Some(host), host_last: None, container, count: 1, protocol }
}

/// A container: a namespace that is connected.
pub struct Container {
    pub id: String,
    pub namespace: Namespace,
    pub attachment: Attachment,
}

impl Container {
    pub fn ipv4(&self) -> IpAddr {
        self.attachment.endpoints[0].ipv4.unwrap().into()
    }

    pub fn ipv6(&self) -> IpAddr {
        self.attachment.endpoints[0].ipv6.unwrap().into()
    }

    /// Serves TCP: every connection is told the address that it comes from.
    pub fn serve_tcp(&self, port: u16) {
        self.namespace.serve_tcp(port);
    }

    /// Serves UDP in the same way.
    pub fn serve_udp(&self, port: u16) {
        self.namespace.serve_udp(port);
    }
}

impl Namespace {
    pub fn serve_tcp(&self, port: u16) {
        let listener = self.inside(move || TcpListener::bind(("::", port)).unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let peer = stream.peer_addr().map(|peer| peer.ip().to_canonical().to_string());
                let _ = stream.write_all(peer.unwrap_or_default().as_bytes());
            }
        });
    }

    pub fn serve_udp(&self, port: u16) {
        let socket = self.inside(move || UdpSocket::bind(("::", port)).unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(peer.ip().to_canonical().to_string().as_bytes(), peer);
            }
        });
    }

    /// Whether nobody answers at an address, not even to refuse.
    pub fn is_cut_off(&self, address: impl Into<IpAddr>, port: u16) -> bool {
        let address = SocketAddr::new(address.into(), port);
        self.inside(move || TcpStream::connect_timeout(&address, Duration::from_millis(700)).is_err())
    }

    /// Whom a TCP server sees.
    pub fn ask_tcp(&self, address: impl Into<IpAddr>, port: u16) -> Option<String> {
        let address = SocketAddr::new(address.into(), port);
        self.inside(move || {
            let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            (!answer.is_empty()).then_some(answer)
        })
    }

    /// Whom a UDP server sees.
    pub fn ask_udp(&self, address: impl Into<IpAddr>, port: u16) -> Option<String> {
        let address = SocketAddr::new(address.into(), port);
        self.inside(move || {
            let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            let socket = UdpSocket::bind((any, 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            socket.connect(address).ok()?;
            let mut buffer = [0; 64];
            // A datagram may be lost.
            let length = (0..20).find_map(|_| {
                socket.send(b"?").ok()?;
                socket.recv(&mut buffer).ok()
            })?;
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        })
    }
}

/// An address.
pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
