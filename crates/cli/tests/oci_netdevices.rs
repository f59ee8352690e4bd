//! `linux.netDevices`: devices of the host that move into a container.

use std::process::Command;

use serde_json::json;
use testkit::{Bundle, Testbed};

fn ip(args: &str) -> String {
    let output = Command::new("ip").args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A veth pair of the host's; both go with the last of them.
struct Veth(String);

impl Veth {
    /// The first has an address and is up.
    fn new(bed: &Testbed) -> Self {
        let name = bed.name();
        ip(&format!("link add {name}a type veth peer name {name}b"));
        ip(&format!("addr add 10.99.0.1/24 dev {name}a"));
        ip(&format!("link set {name}a up"));
        Self(format!("{name}a"))
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        // It may be gone with the container.
        drop(Command::new("ip").args(["link", "del", &self.0]).stderr(std::process::Stdio::null()).status());
    }
}

fn with_device(bed: &Testbed, device: &str, name: &str) -> Bundle {
    let mut bundle = bed.bundle();
    bundle.edit(|spec| spec["linux"]["netDevices"] = json!({device: {"name": name}}));
    bundle
}

#[test]
fn a_device_moves_in_with_its_address_under_its_new_name() {
    let bed = Testbed::new();
    let veth = Veth::new(&bed);
    let mut bundle = with_device(&bed, &veth.0, "net%d");
    bundle.script("ip -o addr show dev net0; ip link show dev net0");
    let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output().expect_success();
    let told = run.stdout();
    assert!(told.contains("10.99.0.1/24") && told.contains(",UP"), "{told}");
}

#[test]
fn a_device_comes_home_as_it_was_when_the_create_fails() {
    let bed = Testbed::new();
    let veth = Veth::new(&bed);
    let mut bundle = with_device(&bed, &veth.0, "eth0");
    bundle.edit(|spec| spec["process"]["args"] = json!(["/no/such/program"]));
    let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output();
    assert!(!run.status.success());
    let found = ip(&format!("addr show dev {}", veth.0));
    assert!(found.contains("10.99.0.1/24") && found.contains(",UP"), "{found}");
}

#[test]
fn a_device_moves_into_a_namespace_that_is_joined() {
    let bed = Testbed::new();
    let veth = Veth::new(&bed);
    let namespace = bed.name();
    ip(&format!("netns add {namespace}"));
    let mut bundle = with_device(&bed, &veth.0, "eth0");
    bundle.edit(|spec| {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        let network = namespaces.iter_mut().find(|namespace| namespace["type"] == "network").unwrap();
        network["path"] = format!("/run/netns/{namespace}").into();
    });
    bundle.script("ip -o addr show dev eth0");
    let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output();
    ip(&format!("netns del {namespace}"));
    let told = run.expect_success().stdout();
    assert!(told.contains("10.99.0.1/24"), "{told}");
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let bed = Testbed::new();
    let bundle = with_device(&bed, "no-such-device", "");
    let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output();
    assert!(!run.status.success());
    assert!(run.stderr().contains("no-such-device"), "{}", run.stderr());
}
