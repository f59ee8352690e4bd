//! Containers on bridges: among themselves, with the host, with the world.

mod support;

use network::{AttachRequest, CreateRequest, Protocol};
use support::{HOST4, HOST6, Host, WORLD4, WORLD6, ip, on, publish};

fn create(host: &Host, name: &str, edit: impl FnOnce(&mut CreateRequest)) -> network::Network {
    let mut request = CreateRequest { name: name.into(), ..Default::default() };
    edit(&mut request);
    let networks = host.networks();
    host.host.inside(|| networks.create(&request)).unwrap()
}

#[test]
fn containers_of_a_network_talk_by_ipv4_and_ipv6() {
    let host = Host::new();
    let (a, b) = (host.container("a", |_| {}), host.container("b", |_| {}));
    b.serve_tcp(80);
    b.serve_udp(53);
    assert_eq!(a.namespace.ask_tcp(b.ipv4(), 80), Some(a.ipv4().to_string()));
    assert_eq!(a.namespace.ask_tcp(b.ipv6(), 80), Some(a.ipv6().to_string()));
    assert_eq!(a.namespace.ask_udp(b.ipv4(), 53), Some(a.ipv4().to_string()));
    let gateway = a.attachment.endpoints[0].ipv4_gateway.unwrap();
    assert_eq!(host.host.ask_tcp(b.ipv4(), 80), Some(gateway.to_string()));
    let link = host.host.run("ip -d link show berth0");
    assert!(link.contains("stp_state 0") && link.contains("berth network bridge"), "{link}");
}

/// Two roots, each with a default network and rules of its own.
#[test]
fn networks_of_another_root_get_along() {
    let host = Host::new();
    let other = host.with_another_root("other");
    let a = host.container("a", |request| request.ports = vec![publish(8080, 80, Protocol::Tcp)]);
    let b = other.container("a", |request| request.ports = vec![publish(8081, 80, Protocol::Tcp)]);
    for (container, port) in [(&a, 8080), (&b, 8081)] {
        container.serve_tcp(80);
        assert_eq!(host.world.ask_tcp(ip(HOST4), port).as_deref(), Some(WORLD4));
        assert!(host.host.ask_tcp(ip("127.0.0.1"), port).is_some(), "port {port} by loopback");
    }
    assert_ne!(a.attachment.endpoints[0].ipv4_subnet, b.attachment.endpoints[0].ipv4_subnet);
    assert!(a.namespace.is_cut_off(b.ipv4(), 80), "networks are apart, whoever's they are");
}

#[test]
fn the_world_sees_the_hosts_address() {
    let host = Host::new();
    let a = host.container("a", |_| {});
    host.world.serve_tcp(80);
    assert_eq!(a.namespace.ask_tcp(ip(WORLD4), 80).as_deref(), Some(HOST4));
    assert_eq!(a.namespace.ask_tcp(ip(WORLD6), 80).as_deref(), Some(HOST6));
}

#[test]
fn published_ports_are_reached_from_everywhere() {
    let host = Host::new();
    let a = host.container("a", |request| {
        request.ports = vec![publish(8080, 80, Protocol::Tcp), publish(5353, 53, Protocol::Udp)];
    });
    a.serve_tcp(80);
    a.serve_udp(53);
    let b = host.container("b", |_| {});
    assert_eq!(host.world.ask_tcp(ip(HOST4), 8080).as_deref(), Some(WORLD4));
    assert_eq!(host.world.ask_udp(ip(HOST4), 5353).as_deref(), Some(WORLD4));
    assert_eq!(host.world.ask_tcp(ip(HOST6), 8080).as_deref(), Some(WORLD6));
    assert_eq!(host.host.ask_tcp(ip(HOST4), 8080).as_deref(), Some(HOST4));
    let gateway = a.attachment.endpoints[0].ipv4_gateway.unwrap().to_string();
    assert_eq!(host.host.ask_tcp(ip("127.0.0.1"), 8080), Some(gateway.clone()));
    assert_eq!(host.host.ask_udp(ip("127.0.0.1"), 5353), Some(gateway.clone()));
    assert_eq!(b.namespace.ask_tcp(ip(HOST4), 8080), Some(gateway.clone()));
    assert_eq!(a.namespace.ask_tcp(ip(HOST4), 8080), Some(gateway));
}

/// br_netfilter would have answers to ::1 dropped. Then it is refused at once, and clients take 127.0.0.1.
#[test]
fn published_ports_are_reached_by_the_loopback_of_ipv6_unless_br_netfilter_bars_it() {
    let host = Host::new();
    let filter = |on: u8| {
        let sysctl = "/proc/sys/net/bridge/bridge-nf-call-ip6tables";
        host.host.run(&format!("[ ! -e {sysctl} ] || echo {on} > {sysctl}"));
        std::path::Path::new(sysctl).exists()
    };
    filter(0);
    let a = host.container("a", |request| {
        request.ports = vec![publish(8080, 80, Protocol::Tcp), publish(5353, 53, Protocol::Udp)];
    });
    a.serve_tcp(80);
    a.serve_udp(53);
    let gateway = a.attachment.endpoints[0].ipv6_gateway.unwrap().to_string();
    assert_eq!(host.host.ask_tcp(ip("::1"), 8080), Some(gateway.clone()));
    assert_eq!(host.host.ask_udp(ip("::1"), 5353), Some(gateway));
    let is_refused = |namespace: &support::Namespace| {
        let (address, patience) = ("[::1]:8080".parse().unwrap(), std::time::Duration::from_secs(20));
        let outcome = namespace.inside(|| std::net::TcpStream::connect_timeout(&address, patience));
        outcome.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    };
    assert!(is_refused(&a.namespace), "a container's loopback is its own, where nobody is");
    if filter(1) {
        let networks = host.networks();
        host.host.inside(|| networks.repair()).unwrap();
        assert!(is_refused(&host.host));
    }
}

#[test]
fn networks_are_apart_but_for_published_ports() {
    let host = Host::new();
    create(&host, "one", |_| {});
    create(&host, "two", |_| {});
    let a = host.container("a", |request| request.endpoints = vec![on("one")]);
    let b = host.container("b", |request| {
        request.endpoints = vec![on("two")];
        request.ports = vec![publish(8080, 80, Protocol::Tcp)];
    });
    b.serve_tcp(80);
    assert!(a.namespace.is_cut_off(b.ipv4(), 80));
    assert!(a.namespace.is_cut_off(b.ipv6(), 80));
    assert_eq!(a.namespace.ask_tcp(ip(HOST4), 8080), Some(a.ipv4().to_string()));
}

#[test]
fn unpublished_ports_are_not_reached_from_the_world() {
    let host = Host::new();
    let a = host.container("a", |_| {});
    a.serve_tcp(80);
    let subnets = a.attachment.endpoints[0].clone();
    host.world.run(&format!("ip route add {} via {HOST4}", subnets.ipv4_subnet.unwrap()));
    assert!(host.world.is_cut_off(a.ipv4(), 80));
    let open = "com.docker.network.bridge.gateway_mode_ipv4";
    create(&host, "open", |request| {
        request.options.insert(open.into(), "nat-unprotected".into());
    });
    let b = host.container("b", |request| request.endpoints = vec![on("open")]);
    b.serve_tcp(80);
    host.world.run(&format!("ip route add {} via {HOST4}", b.attachment.endpoints[0].ipv4_subnet.unwrap()));
    assert_eq!(host.world.ask_tcp(b.ipv4(), 80).as_deref(), Some(WORLD4));
}

#[test]
fn an_internal_network_leads_nowhere() {
    let host = Host::new();
    create(&host, "inner", |request| request.internal = true);
    let a = host.container("a", |request| request.endpoints = vec![on("inner")]);
    let b = host.container("b", |request| request.endpoints = vec![on("inner")]);
    b.serve_tcp(80);
    host.world.serve_tcp(80);
    assert_eq!(a.namespace.ask_tcp(b.ipv4(), 80), Some(a.ipv4().to_string()));
    a.namespace.run(&format!(
        "ip route add default via {}",
        a.attachment.endpoints[0].ipv4_subnet.unwrap().nth(1).unwrap()
    ));
    assert!(a.namespace.is_cut_off(ip(WORLD4), 80));
}

#[test]
fn without_icc_containers_reach_only_what_is_published() {
    let host = Host::new();
    // Where the kernel has br_netfilter, in both of its modes.
    let parameters = "net.bridge.bridge-nf-call-iptables={} net.bridge.bridge-nf-call-ip6tables={}";
    if !std::path::Path::new("/proc/sys/net/bridge").exists() {
        return without_icc(&host);
    }
    for mode in ["1", "0"] {
        host.host.run(&format!("sysctl -qw {}", parameters.replace("{}", mode)));
        without_icc(&host);
    }
}

fn without_icc(host: &Host) {
    create(host, "quiet", |request| {
        request.options.insert("com.docker.network.bridge.enable_icc".into(), "false".into());
    });
    let a = host.container("a", |request| request.endpoints = vec![on("quiet")]);
    let b = host.container("b", |request| {
        request.endpoints = vec![on("quiet")];
        request.ports = vec![publish(8080, 80, Protocol::Tcp)];
    });
    b.serve_tcp(80);
    assert!(a.namespace.is_cut_off(b.ipv4(), 80));
    assert!(a.namespace.is_cut_off(b.ipv6(), 80));
    assert!(a.namespace.ask_tcp(ip(HOST4), 8080).is_some());
    let networks = host.networks();
    host.host
        .inside(|| [&a, &b].into_iter().try_for_each(|container| networks.detach(&container.id)))
        .unwrap();
    host.host.inside(|| networks.remove("quiet")).unwrap();
}

#[test]
fn the_hosts_loopback_is_out_of_reach() {
    let host = Host::new();
    let a = host.container("a", |request| request.ports = vec![publish(8080, 80, Protocol::Tcp)]);
    // A service of the host on 127.0.0.1 alone, and a container that sends packets for it to the gateway.
    let listener = host.host.inside(|| std::net::TcpListener::bind("127.0.0.1:9000").unwrap());
    a.namespace.run("ip route del local 127.0.0.0/8 dev lo table local; ip addr flush dev lo; sysctl -qw net.ipv4.conf.all.route_localnet=1");
    let gateway = a.attachment.endpoints[0].ipv4_gateway.unwrap();
    a.namespace.run(&format!("ip route add 127.0.0.0/8 via {gateway}"));
    assert!(a.namespace.is_cut_off(ip("127.0.0.1"), 9000));
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "CVE-2020-8558");
}

#[test]
fn a_port_published_on_loopback_is_not_on_the_wire() {
    let host = Host::new();
    let a = host.container("a", |request| {
        let mut port = publish(8080, 80, Protocol::Tcp);
        port.host_ip = Some(ip("127.0.0.1"));
        request.ports = vec![port];
    });
    a.serve_tcp(80);
    assert!(host.host.ask_tcp(ip("127.0.0.1"), 8080).is_some());
    host.world.run(&format!(
        "ip route del local 127.0.0.0/8 dev lo table local; ip addr flush dev lo; sysctl -qw net.ipv4.conf.all.route_localnet=1; ip route add 127.0.0.0/8 via {HOST4}"
    ));
    assert!(host.world.is_cut_off(ip("127.0.0.1"), 8080));
    assert!(host.world.is_cut_off(ip(HOST4), 8080));
}

#[test]
fn what_is_detached_leaves_nothing() {
    let host = Host::new();
    create(&host, "net", |_| {});
    let networks = host.networks();
    let a = host.container("a", |request| {
        request.endpoints = vec![on("bridge"), on("net")];
        request.ports = vec![publish(8080, 80, Protocol::Tcp)];
    });
    assert!(!host.leftovers().is_empty());
    host.host.inside(|| networks.detach(&a.id)).unwrap();
    drop(a.namespace);
    testkit::eventually("everything is gone", || host.leftovers().is_empty().then_some(()));
    host.host.inside(|| networks.remove("net")).unwrap();
    assert!(!host.host.run("ip -o link show type bridge").contains("berth-"));
}

#[test]
fn a_running_container_is_connected_and_disconnected() {
    let host = Host::new();
    create(&host, "one", |_| {});
    create(&host, "two", |_| {});
    let networks = host.networks();
    let a = host.container("a", |request| {
        request.endpoints = vec![on("one")];
        request.ports = vec![publish(8080, 80, Protocol::Tcp)];
    });
    a.serve_tcp(80);
    let b = host.container("b", |request| request.endpoints = vec![on("two")]);
    b.serve_tcp(80);
    let to_two = AttachRequest {
        container: a.id.clone(),
        name: "a".into(),
        endpoints: vec![on("two")],
        ..Default::default()
    };
    let connected = host.host.inside(|| networks.connect(&to_two, a.namespace.fd())).unwrap();
    assert_eq!(connected.endpoints[1].interface, "eth1");
    let in_two = connected.endpoints[1].ipv4.unwrap().to_string();
    assert_eq!(a.namespace.ask_tcp(b.ipv4(), 80), Some(in_two.clone()));
    let again = host.host.inside(|| networks.connect(&to_two, a.namespace.fd()));
    assert_eq!(again.unwrap_err().to_string(), "endpoint with name a already exists in network two");
    // Its way out and its ports move over to the network that is left.
    host.host.inside(|| networks.disconnect(&a.id, "one", Some(a.namespace.fd()))).unwrap();
    host.world.serve_tcp(80);
    assert_eq!(a.namespace.ask_tcp(ip(WORLD4), 80).as_deref(), Some(HOST4));
    assert_eq!(host.world.ask_tcp(ip(HOST4), 8080).as_deref(), Some(WORLD4));
    let refused = host.host.inside(|| networks.disconnect(&a.id, "one", Some(a.namespace.fd())));
    assert!(refused.unwrap_err().to_string().ends_with("is not connected to network one"));
    host.host.inside(|| networks.detach(&a.id)).unwrap();
    host.host.inside(|| networks.detach(&b.id)).unwrap();
    assert!(host.host.inside(|| networks.attachments()).unwrap().is_empty());
}
