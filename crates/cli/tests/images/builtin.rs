//! The built-in images, on a machine that has nothing but the binary.

use testkit::Testbed;

use super::Berth;

#[test]
fn a_hundred_processes_make_one_image() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed, "root");
    let inspect = || berth.command(&["image", "inspect", "-f", "{{.Id}}", "hello"]).start();
    let processes: Vec<_> = (0..100).map(|_| inspect()).collect();
    let ids: Vec<String> =
        processes.into_iter().map(|process| process.wait().expect_success().stdout()).collect();
    assert!(ids.iter().all(|id| *id == ids[0] && id.starts_with("sha256:")), "{ids:?}");
    let list = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
    assert_eq!(berth.run(&list), "localhost/hello:latest\n");
    assert_eq!(berth.run(&["fsck"]), "clean\n");
    assert!(berth.run(&["rmi", "hello"]).starts_with("Untagged: localhost/hello:latest\nDeleted: sha256:"));
    assert_eq!(std::fs::read_dir(bed.path().join("root/layers")).unwrap().count(), 0);
}

#[test]
fn nothing_is_pulled_for_them() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed, "root");
    assert!(berth.run(&["pull", "hello"]).contains("Status: localhost/hello:latest is built in\n"));
    assert_eq!(berth.run(&["pull", "-q", "host:latest"]), "localhost/host:latest\n");
    let archive = bed.path().join("both.tar");
    berth.run(&["save", "-o", archive.to_str().unwrap(), "hello", "host"]);
    let there = Berth::new(&bed, "there");
    let loaded = there.run(&["load", "-i", archive.to_str().unwrap()]);
    assert!(loaded.contains("hello:latest") && loaded.contains("host:latest"), "{loaded}");
}
