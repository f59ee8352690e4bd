//! Names in networks: what a container asks, and what it hears.

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use network::{AttachRequest, CreateRequest, RESOLVER, Resolver};
use rustix::event::{PollFd, PollFlags, poll};
use support::{Container, Host, Namespace, ip, on};

const A: u16 = 1;
const AAAA: u16 = 28;
const PTR: u16 = 12;

fn create(host: &Host, name: &str, edit: impl FnOnce(&mut CreateRequest)) {
    let mut request = CreateRequest { name: name.into(), ..Default::default() };
    edit(&mut request);
    let networks = host.networks();
    host.host.inside(|| networks.create(&request)).unwrap();
}

/// Serves a container's resolver, as its monitor would, until the test ends.
fn serve(host: &Host, container: &Container) {
    let networks = host.networks();
    let resolver =
        host.host.inside(|| Resolver::open(&networks, &container.attachment, container.namespace.fd()));
    let mut resolver = resolver.unwrap().expect("a user-defined network needs a resolver");
    let home = host.host.inside(|| namespace::netlink::own_namespace().unwrap());
    std::thread::spawn(move || {
        // Its questions to servers come from the host.
        sys::process::setns(home.as_fd(), sys::process::NamespaceFlags::NET).unwrap();
        loop {
            poll(&mut [PollFd::new(&resolver, PollFlags::IN)], None).unwrap();
            resolver.serve();
        }
    });
}

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend([kind.to_be_bytes(), [0, 1]].concat());
    message
}

/// Code and number of answers.
fn verdict(message: &[u8]) -> (u8, u8) {
    assert_eq!(message[..2], [0x12, 0x34]);
    (message[3] & 15, message[7])
}

fn ask(namespace: &Namespace, message: Vec<u8>) -> Vec<u8> {
    namespace.inside(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect((RESOLVER, 53)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.send(&message).unwrap();
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    })
}

fn ask_by_tcp(namespace: &Namespace, message: Vec<u8>) -> Vec<u8> {
    namespace.inside(move || {
        let address = (IpAddr::from(RESOLVER), 53).into();
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(&[&(message.len() as u16).to_be_bytes()[..], &message].concat()).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).unwrap();
        answer
    })
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[test]
fn containers_find_each_other_by_name_alias_and_id() {
    let host = Host::new();
    create(&host, "net", |_| {});
    let a = host.container("a", |request| request.endpoints = vec![on("net")]);
    let b = host.container("Web", |request| {
        request.endpoints = vec![on("net")];
        request.endpoints[0].aliases = vec!["db.internal".into()];
    });
    serve(&host, &a);
    for name in ["web", "WEB", "db.internal", "web.net", &b.id[..12]] {
        let answer = ask(&a.namespace, question(name, A));
        assert_eq!(verdict(&answer), (0, 1), "{name}");
        assert!(answer.ends_with(&octets(b.ipv4())), "{name}");
    }
    assert!(ask(&a.namespace, question("web", AAAA)).ends_with(&octets(b.ipv6())));
    assert!(ask_by_tcp(&a.namespace, question("web", A)).ends_with(&octets(b.ipv4())));
    assert_eq!(verdict(&ask(&a.namespace, question("web", 15))), (0, 0), "a name without a mail server");
    let reversed: Vec<String> = octets(b.ipv4()).iter().rev().map(u8::to_string).collect();
    let name = format!("{}.in-addr.arpa", reversed.join("."));
    let answer = ask(&a.namespace, question(&name, PTR));
    assert!(answer.ends_with(b"\x03Web\x03net\x00"), "{answer:?}");
    let networks = host.networks();
    host.host.inside(|| networks.detach(&b.id)).unwrap();
    let trace = host.host.inside(|| networks.trace_dns(&a.id, "a")).unwrap();
    assert_eq!(trace.addresses, [a.ipv4(), a.ipv6()]);
    assert_eq!(networks.resolve_name(&a.attachment.endpoints[0].network_id, "web").unwrap(), None);
}

#[test]
fn a_network_joined_or_left_is_known_at_once() {
    let host = Host::new();
    create(&host, "one", |_| {});
    create(&host, "two", |request| request.internal = true);
    let a = host.container("a", |request| request.endpoints = vec![on("two")]);
    let b = host.container("b", |request| request.endpoints = vec![on("one")]);
    serve(&host, &a);
    let resolves = |name: &str| verdict(&ask(&a.namespace, question(name, A))) == (0, 1);
    assert!(!resolves("b"));
    let networks = host.networks();
    let more = AttachRequest {
        container: a.id.clone(),
        name: "a".into(),
        endpoints: vec![on("one")],
        ..Default::default()
    };
    host.host.inside(|| networks.connect(&more, a.namespace.fd())).unwrap();
    assert!(resolves("b") && resolves("b.one"));
    assert_eq!(b.attachment.endpoints[0].dns_names[0], "b");
    host.host.inside(|| networks.disconnect(&a.id, "one", Some(a.namespace.fd()))).unwrap();
    assert!(!resolves("b"));
    assert!(resolves("a"));
}

#[test]
fn a_container_keeps_port_53_for_itself() {
    let host = Host::new();
    create(&host, "net", |_| {});
    let a = host.container("a", |request| request.endpoints = vec![on("net")]);
    serve(&host, &a);
    a.serve_udp(53);
    a.serve_tcp(53);
    assert_eq!(a.namespace.ask_udp(a.ipv4(), 53), Some(a.ipv4().to_string()));
    assert_eq!(verdict(&ask(&a.namespace, question("a", A))), (0, 1));
}

/// A server of the world: answers every question with one address, or with many by TCP.
fn server(world: &Namespace, address: &str) {
    let address: IpAddr = ip(address);
    let (udp, tcp) = world.inside(move || {
        (UdpSocket::bind((address, 53)).unwrap(), std::net::TcpListener::bind((address, 53)).unwrap())
    });
    let answer = |message: &[u8], flags: u8| {
        let mut answer = message.to_vec();
        answer[2] = 0x80 | flags;
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 7]);
        answer
    };
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, peer)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(&answer(&buffer[..length], 0), peer);
        }
    });
    std::thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            let mut length = [0; 2];
            let mut message = [0; 512];
            if stream.read_exact(&mut length).is_ok() {
                let length = usize::from(u16::from_be_bytes(length));
                let _ = stream.read_exact(&mut message[..length]);
                let reply = answer(&message[..length], 4);
                let _ = stream.write_all(&[&(reply.len() as u16).to_be_bytes()[..], &reply].concat());
            }
        }
    });
}

#[test]
fn other_names_are_asked_of_the_hosts_servers_one_of_which_is_silent() {
    let host = Host::new();
    create(&host, "net", |_| {});
    server(&host.world, support::WORLD4);
    let a = host.container("a", |request| {
        request.endpoints = vec![on("net")];
        // Nobody is at the first.
        request.dns = vec![ip("203.0.113.99"), ip(support::WORLD4)];
    });
    serve(&host, &a);
    let answer = ask(&a.namespace, question("example.org", A));
    assert!(answer.ends_with(&[192, 0, 2, 7]) && verdict(&answer) == (0, 1));
    assert!(ask_by_tcp(&a.namespace, question("example.org", A)).ends_with(&[192, 0, 2, 7]));
}

#[test]
fn names_are_no_way_out_of_an_internal_network() {
    let host = Host::new();
    create(&host, "inner", |request| request.internal = true);
    server(&host.world, support::WORLD4);
    let a = host.container("a", |request| {
        request.endpoints = vec![on("inner")];
        request.dns = vec![ip(support::WORLD4)];
    });
    serve(&host, &a);
    assert_eq!(verdict(&ask(&a.namespace, question("secret.example.org", A))), (2, 0), "CVE-2024-29018");
    assert_eq!(verdict(&ask(&a.namespace, question("a", A))), (0, 1));
}

#[test]
fn a_resolver_that_was_killed_is_opened_anew() {
    let host = Host::new();
    create(&host, "net", |_| {});
    let a = host.container("a", |request| request.endpoints = vec![on("net")]);
    let networks = host.networks();
    let first = host.host.inside(|| Resolver::open(&networks, &a.attachment, a.namespace.fd())).unwrap();
    drop(first);
    serve(&host, &a);
    assert_eq!(verdict(&ask(&a.namespace, question("a", A))), (0, 1));
}

#[test]
fn the_default_network_needs_a_resolver_only_for_servers_on_loopback() {
    let host = Host::new();
    let a = host.container("a", |request| request.dns = vec![ip("192.0.2.1")]);
    let networks = host.networks();
    assert!(
        host.host.inside(|| Resolver::open(&networks, &a.attachment, a.namespace.fd())).unwrap().is_none()
    );
}
