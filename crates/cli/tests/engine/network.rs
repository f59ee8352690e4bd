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
fn host() -> Host {
    sys::process::unshare(NamespaceFlags::NET).unwrap();
    sys::net::loopback_up().unwrap();
    Host::new()
}

/// A pair ends with the container's namespace, which the kernel frees in its own time.
#[track_caller]
fn await_no_links() {
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
    let taken = host.berth(["run", "--rm", "-p", "18080:80", IMAGE, "true"]).output();
    refused(taken, 125, "18080");
    host.ok(["stop", "-t", "0", "web"]);
    assert_eq!(ask(), None);
    host.leave_nothing();
    await_no_links();
}
