//! What looks at containers, and what prints for other programs.

use testkit::Testbed;

use crate::{Berth, IMAGE};

#[test]
fn anything_is_inspected_by_its_name() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    berth.detached("web", "sleep 1000");
    berth.run(&["volume", "create", "data"]);
    let names = ["inspect", "-f", "{{.Id}}", "web", IMAGE];
    assert_eq!(berth.run(&names).lines().count(), 2);
    assert_eq!(berth.run(&["inspect", "-f", "{{.Driver}}", "data"]), "local\n");
    let missing = berth.command(&["inspect", "nope"]).output().expect_code(1);
    assert_eq!((missing.stdout(), missing.stderr()), ("[]\n".into(), "berth: no such object: nope\n".into()));
    let typed = berth.fails(1, &["inspect", "--type", "container", IMAGE]);
    assert_eq!(typed, "berth: no such container: busybox\n");
    let kernel = berth.field("web", "{{len .Kernel.Namespaces}} {{.State.Running}} {{index .Args 0}}");
    assert_eq!(kernel, "8 true -ec");
    let wrong = berth.fails(1, &["inspect", "-f", "{{.Nope}}", "web"]);
    assert!(wrong.contains("Nope"), "{wrong}");
    assert!(berth.run(&["inspect", "-s", "web"]).contains("\"SizeRootFs\""));
}

#[test]
fn processes_and_figures() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    berth.detached("web", "exec sleep 1000");
    let top = berth.run(&["top", "web"]);
    assert!(top.starts_with("UID    ") && top.contains("sleep 1000"), "{top}");
    let stats = berth.run(&["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}"]);
    assert_eq!(stats, "web 1\n");
    let info = berth.run(&["info", "-f", "{{.ContainersRunning}} {{.OSType}}"]);
    assert_eq!(info, "1 linux\n");
    let usage = berth.run(&["system", "df"]);
    assert!(usage.starts_with("TYPE ") && usage.contains("Containers      1         1 "), "{usage}");
    assert!(berth.run(&["system", "df", "-v"]).contains("web\n"));
    assert!(berth.fails(1, &["top", "nope"]).contains("No such container: nope"));
}

#[test]
fn units_completions_and_manuals_are_printed() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    berth.run(&["create", "--network", "none", "--name", "web", "--stop-timeout", "7", IMAGE]);
    let unit = berth.run(&["generate", "systemd", "--name", "web"]);
    assert!(
        unit.starts_with("# container-web.service\n[Unit]\nDescription=Container web of berth\n"),
        "{unit}"
    );
    assert!(unit.contains(" start --attach web\n") && unit.contains(" stop --timeout 7 web\n"), "{unit}");
    assert!(berth.run(&["generate", "systemd", "--boot"]).contains(" system start\n"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(berth.run(&["completion", shell]).contains("berth"), "{shell}");
    }
    let pages = bed.path().join("man");
    berth.run(&["man", pages.to_str().unwrap()]);
    let page = std::fs::read_to_string(pages.join("man1/berth-container-run.1")).unwrap();
    assert!(page.contains("cap\\-add"), "{page}");
    assert!(berth.run(&["version", "-f", "{{.Server.Os}}"]).contains("linux"));
}
