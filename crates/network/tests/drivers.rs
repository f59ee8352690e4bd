//! The drivers beside bridges, each on a host of its own.

mod support;

use std::process::Command;

use network::{AttachRequest, CreateRequest, Pool};
use support::{Container, HOST4, Host, Namespace, WORLD4, ip, on};

fn try_create(host: &Host, name: &str, edit: impl FnOnce(&mut CreateRequest)) -> network::Result<()> {
    let mut request = CreateRequest { name: name.into(), ..Default::default() };
    edit(&mut request);
    let networks = host.networks();
    host.host.inside(|| networks.create(&request)).map(drop)
}

fn on_the_wire(request: &mut CreateRequest, driver: &str) {
    request.driver = driver.into();
    request.options.insert("parent".into(), "out0".into());
    let pool = Pool {
        subnet: "203.0.113.0/24".parse().unwrap(),
        range: Some("203.0.113.128/25".parse().unwrap()),
        gateway: Some(ip(WORLD4)),
        auxiliary: Default::default(),
    };
    request.ipam.config = vec![pool];
}

/// A container on the host's wire: the world sees its own address.
fn is_on_the_wire(host: &Host, container: &Container) {
    host.world.serve_tcp(80);
    assert_eq!(container.namespace.ask_tcp(ip(WORLD4), 80), Some(container.ipv4().to_string()));
    container.serve_tcp(80);
    assert_eq!(host.world.ask_tcp(container.ipv4(), 80).as_deref(), Some(WORLD4));
}

fn wire(driver: &str) {
    let host = Host::new();
    try_create(&host, "lan", |request| on_the_wire(request, driver)).unwrap();
    let a = host.container("a", |request| request.endpoints = vec![on("lan")]);
    is_on_the_wire(&host, &a);
    let b = host.container("b", |request| request.endpoints = vec![on("lan")]);
    b.serve_tcp(80);
    assert_eq!(a.namespace.ask_tcp(b.ipv4(), 80), Some(a.ipv4().to_string()));
    let networks = host.networks();
    host.host.inside(|| networks.detach(&a.id)).unwrap();
    host.host.inside(|| networks.disconnect(&b.id, "lan", Some(b.namespace.fd()))).unwrap();
    assert!(!b.namespace.run("ip -o link").contains("eth0"));
    host.host.inside(|| networks.detach(&b.id)).unwrap();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}

#[test]
fn a_macvlan_is_on_the_wire_of_its_parent() {
    wire("macvlan");
}

/// Whether the host's kernel has no such driver: then the error says so, and what to do.
#[test]
fn what_the_kernel_lacks_is_told_and_leaves_nothing() {
    let host = Host::new();
    let probe = "ip link add link out0 name probe0 type ipvlan && ip link del probe0";
    let has = host.host.inside(|| Command::new("sh").args(["-c", probe]).output().unwrap().status.success());
    try_create(&host, "lan", |request| on_the_wire(request, "ipvlan")).unwrap();
    let outcome = host.try_container("a", |request| request.endpoints = vec![on("lan")]);
    if has {
        return assert!(outcome.is_ok());
    }
    let error = outcome.err().unwrap();
    let text = format!("{error}; {}", error.hint().unwrap_or_default());
    assert!(text.contains("driver for ipvlan") && text.contains("network lan"), "{text}");
    assert!(text.contains("modprobe") || text.contains("module"), "{text}");
    assert_eq!(host.leftovers(), Vec::<String>::new());
}

#[test]
fn a_vxlan_joins_the_containers_of_two_hosts() {
    let near = Host::new();
    let far = near.with_another_root("far");
    let overlay = |request: &mut CreateRequest, peer: &str, range: &str| {
        request.driver = "vxlan".into();
        request.options = [("id", "42"), ("peers", peer)].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        request.ipv6 = Some(false);
        let pool = Pool {
            subnet: "10.99.0.0/24".parse().unwrap(),
            range: Some(range.parse().unwrap()),
            gateway: None,
            auxiliary: Default::default(),
        };
        request.ipam.config = vec![pool];
    };
    try_create(&near, "overlay", |request| overlay(request, WORLD4, "10.99.0.0/25")).unwrap();
    let mut request = CreateRequest { name: "overlay".into(), ..Default::default() };
    overlay(&mut request, HOST4, "10.99.0.128/25");
    let networks = far.networks();
    far.world.inside(|| networks.create(&request)).unwrap();
    let a = near.container("a", |request| request.endpoints = vec![on("overlay")]);
    let b = Namespace::new();
    let wanted = AttachRequest {
        container: support::id(),
        name: "b".into(),
        endpoints: vec![on("overlay")],
        ..Default::default()
    };
    let attachment = far.world.inside(|| networks.attach(&wanted, b.fd())).unwrap();
    b.serve_tcp(80);
    let there = attachment.endpoints[0].ipv4.unwrap();
    assert_eq!(
        a.namespace.ask_tcp(there, 80),
        Some(a.ipv4().to_string()),
        "its own address, through the tunnel"
    );
    let mtu = |space: &Namespace, link: &str| -> u32 {
        let shown = space.run(&format!("ip -o link show {link}"));
        let mut words = shown.split(' ').skip_while(|word| *word != "mtu").skip(1);
        words.next().and_then(|mtu| mtu.parse().ok()).expect("ip shows an MTU")
    };
    let room = mtu(&near.host, "out0").checked_sub(mtu(&a.namespace, "eth0"));
    assert!(room.is_some_and(|room| room >= 70), "room for the tunnel's headers: {room:?}");
    far.world
        .inside(|| networks.detach(&wanted.container).and_then(|()| networks.remove("overlay")))
        .unwrap();
    let own = near.networks();
    near.host.inside(|| own.detach(&a.id).and_then(|()| own.remove("overlay"))).unwrap();
    assert!(!near.host.run("ip -o link").contains("bvx-"));
}

#[test]
fn a_device_of_the_host_is_lent_and_comes_back() {
    let host = Host::new();
    host.host.run("ip link add nic0 type veth peer name peer0; ip link set peer0 up; ip addr add 192.0.2.1/24 dev peer0");
    let lent = |request: &mut CreateRequest| {
        request.driver = "host-device".into();
        request.options.insert("parent".into(), "nic0".into());
        request.ipam.config = vec![Pool {
            subnet: "192.0.2.0/24".parse().unwrap(),
            range: None,
            gateway: Some(ip("192.0.2.1")),
            auxiliary: Default::default(),
        }];
    };
    try_create(&host, "nic", lent).unwrap();
    let a = host.container("a", |request| request.endpoints = vec![on("nic")]);
    assert!(!host.host.run("ip -o link").contains("nic0:"));
    host.host.serve_tcp(80);
    assert_eq!(a.namespace.ask_tcp(ip("192.0.2.1"), 80), Some(a.ipv4().to_string()));
    let second =
        host.try_container("b", |request| request.endpoints = vec![on("nic")]).err().unwrap().to_string();
    assert!(second.contains("nic0"), "{second}");
    let networks = host.networks();
    host.host.inside(|| networks.disconnect(&a.id, "nic", Some(a.namespace.fd()))).unwrap();
    assert!(host.host.run("ip -o link").contains("nic0"));
}
