//! SIGKILL of commands that change networks: the next commands leave nothing of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::eventually;

use crate::host::{Host, IMAGE, entries};

/// What networks have of containers, by what it is and whose: of those that `ps` shows, and of others.
fn held(host: &Host) -> BTreeSet<String> {
    let run = host.root.join("run/network");
    let below = |directory: &str| -> Vec<(String, std::path::PathBuf)> {
        let directory = run.join(directory);
        let all = entries(&directory).into_iter().filter(|name| !name.starts_with('.') && name != "lock");
        all.map(|name| (name.clone(), directory.join(name))).collect()
    };
    let mut held = BTreeSet::new();
    for (network, _) in below("leases") {
        for (address, path) in below(&format!("leases/{network}")) {
            held.insert(format!("address {address} of {}", target(&path)));
        }
    }
    for (network, _) in below("names") {
        for (name, _) in below(&format!("names/{network}")) {
            let owners = below(&format!("names/{network}/{name}"));
            held.extend(owners.iter().map(|(owner, _)| format!("name {name} of {owner}")));
        }
    }
    for (port, _) in below("ports/tcp") {
        let owners = below(&format!("ports/tcp/{port}"));
        held.extend(owners.iter().map(|(_, path)| format!("port {port} of {}", target(path))));
    }
    held.extend(below("changes").iter().map(|(name, _)| format!("change of {name}")));
    held.extend(below("containers").iter().map(|(id, _)| format!("connection of {id}")));
    let links = Command::new("ip").args(["-j", "link", "show", "type", "veth"]).output().unwrap();
    let links: Value = serde_json::from_slice(&links.stdout).unwrap();
    let names = links.as_array().into_iter().flatten().filter_map(|link| link["ifname"].as_str());
    held.extend(names.map(|name| format!("link {name}")));
    let ports =
        Command::new("sh").args(["-c", "nft list ruleset | grep -o '[0-9]* : [0-9.a-f:]* . 80'"]).output();
    let ports = String::from_utf8(ports.unwrap().stdout).unwrap();
    held.extend(ports.lines().map(|line| format!("rule {line}")));
    held
}

fn target(path: &Path) -> String {
    fs::read_link(path).map(|owner| owner.display().to_string()).unwrap_or_default()
}

/// Runs a command and kills it, and what it started for `victim`, after a while.
fn kill_after(host: &Host, args: &[&str], wait: Duration, victim: Option<&str>) {
    let command = host.berth(args.iter().copied()).start();
    std::thread::sleep(wait);
    command.signal(Signal::KILL);
    drop(command);
    let id =
        victim.map(|name| host.berth(["ps", "-aq", "--no-trunc", "-f", &format!("name={name}")]).output());
    if let Some(id) = id.map(|finished| finished.stdout().trim_end().to_owned()).filter(|id| !id.is_empty()) {
        let path = host.root.join("run/containers").join(&id).join("monitor.lock");
        let pid = fs::read_to_string(path).ok().and_then(|text| Pid::from_raw(text.trim().parse().ok()?));
        // It may have ended by itself.
        let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
    }
}

#[test]
fn whatever_is_killed_the_next_commands_leave_no_link_rule_address_or_name_of_it() {
    let host = crate::network::host();
    for name in ["one", "two"] {
        host.ok(["network", "create", name]);
    }
    host.ok(["run", "-d", "--name", "base", "--network", "one", "-p", "18090:80", IMAGE, "sleep", "1000"]);
    let before = held(&host);
    let run = ["run", "-d", "--name", "victim", "--network", "two", "-p", "18091:80", IMAGE, "sleep", "1000"];
    for step in 0..20 {
        let wait = Duration::from_millis(step * 7);
        match step % 4 {
            0 => kill_after(&host, &["network", "connect", "two", "base"], wait, None),
            1 => {
                let _ = host.berth(["network", "connect", "two", "base"]).output();
                kill_after(&host, &["network", "disconnect", "two", "base"], wait, None);
            }
            2 => kill_after(&host, &run, wait, Some("victim")),
            _ => {
                host.ok(run);
                kill_after(&host, &["rm", "-f", "victim"], wait, Some("victim"));
            }
        }
        // Whether it came about or not, it can be taken back.
        let networks = host.inspect("base", "/NetworkSettings/Networks");
        if networks.get("two").is_some() {
            host.ok(["network", "disconnect", "two", "base"]);
        }
        let _ = host.berth(["rm", "-f", "victim"]).output();
        let mut found = BTreeSet::new();
        let is_clean = || {
            host.ok(["ps", "-a"]);
            host.ok(["network", "ls"]);
            found = held(&host);
            (found == before).then_some(())
        };
        // Monitors that lost their client, and the kernel, take their time.
        eventually(&format!("nothing is left after step {step}"), is_clean);
    }
    host.ok(["exec", "base", "nslookup", "base"]);
    host.leave_nothing();
    host.ok(["network", "rm", "one", "two"]);
    crate::network::await_no_links();
}
