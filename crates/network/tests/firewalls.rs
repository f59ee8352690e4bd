//! Beside rules that are not berth's: published ports work, theirs are untouched, and decide where they are asked to.

mod support;

use network::Protocol;
use support::{HOST4, HOST6, Host, WORLD4, WORLD6, ip, publish};

/// Input rules as a careful host has them.
const CAREFUL: &str = "table inet filter { chain input { type filter hook input priority 0; policy drop; \
    ct state established,related accept; iif lo accept; meta l4proto ipv6-icmp accept; \
    tcp dport 8080 accept; udp dport 5353 accept; }; }";

#[test]
fn with_host_firewall_the_hosts_input_rules_decide_about_published_ports() {
    let host = Host::new();
    host.host.run(&format!("nft '{CAREFUL}'"));
    let ports = |first: u16| [publish(first, 80, Protocol::Tcp), publish(first + 1, 80, Protocol::Tcp)];
    let asked = host.container("asked", |request| {
        request.ports = [&ports(8080)[..], &[publish(5353, 53, Protocol::Udp)]].concat();
        request.host_firewall = true;
    });
    asked.serve_tcp(80);
    asked.serve_udp(53);
    let open = host.container("open", |request| request.ports = ports(9080).to_vec());
    open.serve_tcp(80);
    for (there, here) in [(HOST4, WORLD4), (HOST6, WORLD6)] {
        assert_eq!(host.world.ask_tcp(ip(there), 8080).as_deref(), Some(here), "let in, its address kept");
        assert_eq!(host.world.ask_udp(ip(there), 5353).as_deref(), Some(here));
        assert_eq!(host.world.ask_tcp(ip(there), 9081).as_deref(), Some(here), "nobody is asked");
        assert!(host.world.is_cut_off(ip(there), 8081));
    }
    assert!(host.host.ask_tcp(ip("127.0.0.1"), 8081).is_some(), "what the host itself sends is no input");
    host.host.run("nft flush chain inet filter input; nft add rule inet filter input tcp dport 8081 accept");
    assert_eq!(host.world.ask_tcp(ip(HOST4), 8081).as_deref(), Some(WORLD4));
    let networks = host.networks();
    host.host.inside(|| networks.detach(&asked.id)).unwrap();
    let rules = host.host.run("nft list set inet berth gated4; nft list set inet berth gated6");
    assert!(!rules.contains("elements"), "{rules}");
}

/// Docker and ufw have what is forwarded dropped unless a rule of theirs wants it.
#[test]
fn beside_a_forward_chain_that_drops_published_ports_work_and_its_rules_stay() {
    for iptables in ["iptables-nft", "ip6tables-nft"] {
        let host = Host::new();
        let theirs = format!(
            "{iptables} -P FORWARD DROP; {iptables} -N MINE; {iptables} -A FORWARD -j MINE; {iptables} -A MINE -i out0 \
             -p tcp --dport 99 -j ACCEPT"
        );
        host.host.run(&theirs);
        let before = host.host.run(&format!("{iptables} -S"));
        let (there, here) = if iptables == "iptables-nft" { (HOST4, WORLD4) } else { (HOST6, WORLD6) };
        let a = host.container("a", |request| request.ports = vec![publish(8080, 80, Protocol::Tcp)]);
        a.serve_tcp(80);
        host.world.serve_tcp(80);
        assert_eq!(host.world.ask_tcp(ip(there), 8080).as_deref(), Some(here), "{iptables}");
        assert_eq!(a.namespace.ask_tcp(ip(here), 80).as_deref(), Some(there), "{iptables}");
        let after = host.host.run(&format!("{iptables} -S"));
        let kept: String =
            after.lines().filter(|line| !line.contains("berth")).map(|line| format!("{line}\n")).collect();
        assert_eq!(kept, before);
        assert!(host.host.run(&format!("{iptables} -S FORWARD")).starts_with("-P FORWARD DROP"));
    }
}

/// The old interface of the kernel has rules of its own, which berth can't write.
#[test]
fn beside_iptables_legacy_its_rules_stay_and_one_command_of_the_document_lets_containers_through() {
    let host = Host::new();
    let has_legacy = host.host.inside(|| {
        let list = std::process::Command::new("iptables-legacy").args(["-S"]).output();
        list.is_ok_and(|output| output.status.success())
    });
    if !has_legacy {
        eprintln!("this kernel has no ip_tables");
        return;
    }
    host.host.run("iptables-legacy -P FORWARD DROP; iptables-legacy -A INPUT -p tcp --dport 99 -j DROP");
    let a = host.container("a", |request| request.ports = vec![publish(8080, 80, Protocol::Tcp)]);
    a.serve_tcp(80);
    assert!(host.world.is_cut_off(ip(HOST4), 8080));
    host.host.run("for way in -i -o; do iptables-legacy -I FORWARD $way berth+ -j ACCEPT; done");
    assert_eq!(host.world.ask_tcp(ip(HOST4), 8080).as_deref(), Some(WORLD4));
    assert!(host.host.run("iptables-legacy -S").contains("-A INPUT -p tcp -m tcp --dport 99 -j DROP"));
}
