//! Containers on networks, in a network namespace that stands for the host's and ends with the test.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use sys::process::NamespaceFlags;
use testkit::eventually;

use crate::host::{Host, IMAGE, refused};

/// A host whose commands run in a network namespace of their own: that of this thread, their parent.
pub fn host() -> Host {
    sys::process::unshare(NamespaceFlags::NET).unwrap();
    sys::net::loopback_up().unwrap();
    Host::new()
}

/// A pair ends with the container's namespace, which the kernel frees in its own time.
#[track_caller]
pub fn await_no_links() {
    eventually("the links are gone", || {
        let output = Command::new("ip").args(["-o", "link", "show", "type", "veth"]).output().unwrap();
        output.stdout.is_empty().then_some(())
    });
}

#[test]
fn names_are_resolved_whoever_is_killed() {
    let host = host();
    host.ok(["network", "create", "backend"]);
    let run = ["run", "-d", "--network", "backend", "--network-alias"];
    let web = host.ok([&run[..], &["front", "--name", "web", IMAGE, "sleep", "1000"]].concat());
    let db = host.ok([&run[..], &["data", "--name", "db", IMAGE, "sleep", "1000"]].concat());
    let address = host.inspect("db", "/NetworkSettings/Networks/backend/IPAddress");
    let address = address.as_str().unwrap();
    let resolves = |name: &str| {
        let answer = host.ok(["exec", "web", "nslookup", name]);
        assert!(answer.contains(&format!("Address: {address}\n")), "{name}: {answer}");
    };
    for name in ["db", "data", &db[..12], "db.backend"] {
        resolves(name);
    }
    // The monitor that answers is another image of its program then.
    let command_line = format!("/proc/{}/cmdline", host.monitor(&web));
    eventually("the monitor has made itself small", || {
        fs::read_to_string(&command_line).unwrap().contains("--handover").then_some(())
    });
    resolves("db");
    let killed = Pid::from_raw(host.monitor(&db)).unwrap();
    rustix::process::kill_process(killed, Signal::KILL).unwrap();
    resolves("db");
    host.ok(["rm", "-f", "db"]);
    refused(host.berth(["exec", "web", "nslookup", "db"]).output(), 1, "");
    refused(host.berth(["network", "rm", "backend"]).output(), 1, "web");
    host.leave_nothing();
    host.ok(["network", "rm", "backend"]);
    await_no_links();
}

#[test]
fn a_running_container_knows_the_names_of_a_network_that_it_joins_and_forgets_them_when_it_leaves() {
    let host = host();
    host.ok(["network", "create", "backend"]);
    host.ok(["run", "-d", "--name", "db", "--network", "backend", IMAGE, "sleep", "1000"]);
    // Neither has a resolver yet: the default network needs none, as the host's servers are not on its loopback.
    let own = ["--dns", "192.0.2.1", IMAGE, "sleep", "1000"];
    host.ok([&["run", "-d", "--name", "web"], &own[..]].concat());
    host.ok([&["run", "-d", "--name", "alone", "--network", "none"], &own[..]].concat());
    for name in ["web", "alone"] {
        host.ok(["network", "connect", "backend", name]);
        host.ok(["exec", name, "nslookup", "db"]);
        host.ok(["exec", "db", "nslookup", name]);
        let pointer = "/NetworkSettings/Networks/backend/IPAddress";
        let address = host.inspect(name, pointer).as_str().unwrap().to_owned();
        assert!(host.ok(["exec", name, "cat", "/etc/hosts"]).contains(&address));
        host.ok(["network", "disconnect", "backend", name]);
        assert!(!host.ok(["exec", name, "cat", "/etc/hosts"]).contains(&address));
        refused(host.berth(["exec", name, "nslookup", "db"]).output(), 1, "");
        refused(host.berth(["exec", "db", "nslookup", name]).output(), 1, "");
    }
    host.leave_nothing();
    host.ok(["network", "rm", "backend"]);
    await_no_links();
}

#[test]
fn host_gateway_is_the_hosts_address_on_the_containers_network() {
    let host = host();
    let inner = ["--internal", "--subnet", "10.231.7.0/24", "--subnet", "fd31:7::/64", "inner"];
    host.ok([&["network", "create"], &inner[..]].concat());
    let add = ["--add-host", "host.docker.internal:host-gateway", IMAGE, "cat", "/etc/hosts"];
    let hosts = host.ok([&["run", "--rm", "--network", "inner"], &add[..]].concat());
    for line in ["10.231.7.1\thost.docker.internal\n", "fd31:7::1\thost.docker.internal\n"] {
        assert!(hosts.contains(line), "{hosts}");
    }
    let gateway = host.ok(["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "bridge"]);
    let hosts = host.ok([&["run", "--rm"], &add[..]].concat());
    assert!(hosts.contains(&format!("{gateway}\thost.docker.internal")), "{hosts}");
    let hosts = host.ok([&["run", "--rm", "--network", "host"], &add[..]].concat());
    assert!(hosts.contains("127.0.0.1\thost.docker.internal"), "{hosts}");
    host.ok(["network", "rm", "inner"]);
    host.leave_nothing();
}

#[test]
fn published_ports_are_reached_until_the_container_ends() {
    let host = host();
    let script = "while echo hello | nc -l -p 80; do :; done";
    host.ok(["run", "-d", "--name", "web", "-p", "18080:80", IMAGE, "sh", "-c", script]);
    let address: SocketAddr = "127.0.0.1:18080".parse().unwrap();
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        (answer == "hello\n").then_some(())
    };
    eventually("the container answers", ask);
    assert!(host.ok(["ps"]).contains("0.0.0.0:18080->80/tcp"));
    let figures = host.ok(["stats", "--no-stream", "--format", "json", "web"]);
    let figures: serde_json::Value = serde_json::from_str(&figures).unwrap();
    let of_eth0 = figures["Interfaces"].as_array().unwrap().iter().find(|one| one["Name"] == "eth0");
    assert!(of_eth0.unwrap()["RxPackets"].as_u64().unwrap() > 3, "{figures}");
    assert!(figures["NetIOByInterface"].as_str().unwrap().starts_with("eth0 "), "{figures}");
    let taken = host.berth(["run", "--rm", "-p", "18080:80", IMAGE, "true"]).output();
    refused(taken, 125, "18080");
    host.ok(["stop", "-t", "0", "web"]);
    assert_eq!(ask(), None);
    host.leave_nothing();
    await_no_links();
}
