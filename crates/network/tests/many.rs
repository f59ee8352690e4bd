//! Many at once, and what is left of those that are killed.

mod support;

use std::collections::BTreeSet;

use network::{AttachRequest, Protocol};
use support::{Host, Namespace, on, publish};

#[test]
fn fifty_at_once_get_fifty_addresses_and_ports() {
    let host = Host::new();
    let networks = host.networks();
    host.host.inside(|| networks.find("bridge")).unwrap();
    let spaces: Vec<Namespace> = (0..50).map(|_| Namespace::new()).collect();
    let attachments: Vec<_> = std::thread::scope(|scope| {
        let attach = |space: &Namespace| {
            let mut port = publish(1, 80, Protocol::Tcp);
            port.host = None;
            let request = AttachRequest {
                container: support::id(),
                name: "c".into(),
                endpoints: vec![on("bridge")],
                ports: vec![port],
                ..Default::default()
            };
            host.host.inside(|| host.networks().attach(&request, space.fd())).unwrap()
        };
        let threads: Vec<_> = spaces.iter().map(|space| scope.spawn(move || attach(space))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let addresses: BTreeSet<_> = attachments.iter().map(|attachment| attachment.endpoints[0].ipv4).collect();
    let ports: BTreeSet<_> = attachments.iter().map(|attachment| attachment.ports[0].host).collect();
    assert_eq!((addresses.len(), ports.len()), (50, 50));
    host.host
        .inside(|| attachments.iter().try_for_each(|attachment| networks.detach(&attachment.container)))
        .unwrap();
    assert!(host.host.inside(|| networks.attachments()).unwrap().is_empty());
}

#[test]
fn what_the_dead_had_is_given_to_others() {
    let host = Host::new();
    let networks = host.networks();
    let fixed = |request: &mut AttachRequest| {
        request.endpoints = vec![on("bridge")];
        request.endpoints[0].ipv4 = Some([10, 201, 0, 77].into());
        request.ports = vec![publish(8080, 80, Protocol::Tcp)];
    };
    let a = host.container("a", fixed);
    let taken = host.try_container("b", |request| {
        fixed(request);
        request.ports.clear();
    });
    let error = taken.err().unwrap().to_string();
    assert_eq!(
        error,
        format!("address 10.201.0.77 is already in use on network bridge by container {}", &a.id[..12])
    );
    let taken = host.try_container("b", |request| request.ports = vec![publish(8080, 80, Protocol::Tcp)]);
    let error = taken.err().unwrap().to_string();
    assert!(
        error.ends_with(&format!("0.0.0.0:8080 is already in use by container {}", &a.id[..12])),
        "{error}"
    );
    host.kill(&a);
    host.host.inside(|| networks.reclaim()).unwrap();
    drop(a);
    testkit::eventually("nothing is left", || host.leftovers().is_empty().then_some(()));
    host.container("c", fixed);
}

#[test]
fn notes_of_links_that_went_do_not_pile_up() {
    let host = Host::new();
    let notes = || std::fs::read_dir(host.dir.path().join("run/network/leaving")).unwrap().count();
    for _ in 0..12 {
        let a = host.container("a", |_| ());
        host.host.inside(|| host.networks().detach(&a.id)).unwrap();
        drop(a);
        testkit::eventually("the link is gone", || host.leftovers().is_empty().then_some(()));
    }
    assert!(notes() <= 2, "{} notes", notes());
}

#[test]
fn a_port_that_a_process_has_is_refused_with_its_name() {
    let host = Host::new();
    let listener = host.host.inside(|| std::net::TcpListener::bind("0.0.0.0:8080").unwrap());
    let refused = host.try_container("a", |request| request.ports = vec![publish(8080, 80, Protocol::Tcp)]);
    let error = refused.err().unwrap().to_string();
    assert!(error.ends_with(&format!("(pid {})", std::process::id())), "{error}");
    assert!(host.leftovers().is_empty(), "{:?}", host.leftovers());
    drop(listener);
    let a = host.container("a", |request| request.ports = vec![publish(8080, 80, Protocol::Tcp)]);
    assert_eq!(a.attachment.ports.len(), 2);
}

#[test]
fn ten_thousand_ports_are_one_element_each_family() {
    let host = Host::new();
    let a = host.container("a", |request| {
        let mut range = publish(20000, 20000, Protocol::Tcp);
        range.count = 10_000;
        request.ports = vec![range];
    });
    a.serve_tcp(29_999);
    assert_eq!(host.world.ask_tcp(support::ip(support::HOST4), 29_999).as_deref(), Some(support::WORLD4));
    let taken = host.try_container("b", |request| request.ports = vec![publish(25_000, 80, Protocol::Tcp)]);
    assert!(taken.err().unwrap().to_string().contains("25000 is already in use"));
}

#[test]
fn what_somebody_removed_is_made_again() {
    let host = Host::new();
    let networks = host.networks();
    let a = host.container("a", |request| request.ports = vec![publish(8080, 80, Protocol::Tcp)]);
    a.serve_tcp(80);
    host.host.run("ip link del berth0; sysctl -qw net.ipv4.ip_forward=0");
    host.host.inside(|| networks.repair()).unwrap();
    assert_eq!(host.world.ask_tcp(support::ip(support::HOST4), 8080).as_deref(), Some(support::WORLD4));
}
