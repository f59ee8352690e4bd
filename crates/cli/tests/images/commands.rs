//! What the commands print and how they end, beside Docker's words.

use testkit::{DockerRegistry, PASSWORD, Testbed, USER};

use super::Berth;

#[test]
fn push_and_pull_speak_as_docker_does() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let name = format!("{}/app", server.address());
    let here = Berth::new(&bed, "here");
    here.import(&name, &[1000]);
    let pushed = here.run(&["push", &name]);
    assert!(pushed.starts_with(&format!("The push refers to repository [{name}]\n")), "{pushed}");
    assert!(pushed.contains(": Pushed\n") && pushed.contains("latest: digest: sha256:"), "{pushed}");
    assert!(here.run(&["push", &name]).contains("Layer already exists"));

    let there = Berth::new(&bed, "there");
    let pulled = there.run(&["pull", &name]);
    assert!(pulled.starts_with("Using default tag: latest\nlatest: Pulling from app\n"), "{pulled}");
    assert!(pulled.contains(": Pull complete\nDigest: sha256:"), "{pulled}");
    let ending = format!("Status: Downloaded newer image for {name}:latest\n{name}:latest\n");
    assert!(pulled.ends_with(&ending), "{pulled}");
    let again = there.run(&["pull", &name]);
    assert!(again.contains(&format!("Status: Image is up to date for {name}:latest\n")), "{again}");
    assert_eq!(there.run(&["pull", "-q", &name]), format!("{name}:latest\n"));

    let missing = format!("{}/nothing", server.address());
    let failed = there.command(&["pull", &missing]).output().expect_code(1);
    assert!(failed.stderr().contains("404 Not Found: manifest unknown"), "{}", failed.stderr());
}

#[test]
fn images_are_listed_filtered_and_formatted() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed, "root");
    berth.import("app:1", &[1000]);
    berth.run(&["tag", "app:1", "team/other"]);
    let table = berth.run(&["images"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("REPOSITORY   TAG       IMAGE ID       CREATED"), "{table}");
    assert!(
        lines[1].starts_with("app          1  ") && lines[2].starts_with("team/other   latest"),
        "{table}"
    );
    let names = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
    assert_eq!(berth.run(&names), "app:1\nteam/other:latest\n");
    assert_eq!(berth.run(&["images", "-q"]).lines().count(), 1);
    assert_eq!(berth.run(&["images", "--format", "{{.Tag}}", "team/*"]), "latest\n");
    assert_eq!(berth.run(&["images", "-q", "-f", "label=made=here"]).lines().count(), 1);
    assert_eq!(berth.run(&["images", "-q", "-f", "label=made=there"]), "");
    assert_eq!(berth.run(&["images", "-q", "-f", "dangling=true"]), "");
    let json: serde_json::Value =
        serde_json::from_str(berth.run(&["images", "--format", "json", "app"]).trim()).unwrap();
    assert_eq!(json["Repository"], "app");
    let wrong = berth.command(&["images", "--format", "{{.Nope}}"]).output().expect_code(1);
    assert!(wrong.stderr().contains("Nope"), "{}", wrong.stderr());
    berth.command(&["images", "--no-such-flag"]).output().expect_code(125);
}

#[test]
fn inspect_and_history_tell_what_docker_tells() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed, "root");
    berth.import("app:1", &[1000]);
    let template = "{{.Os}} {{index .Config.Cmd 0}} {{json .RepoTags}} {{len .RootFS.Layers}}";
    assert_eq!(berth.run(&["image", "inspect", "-f", template, "app:1"]), "linux /bin/sh [\"app:1\"] 1\n");
    let missing = berth.command(&["image", "inspect", "nope"]).output().expect_code(1);
    assert_eq!(missing.stdout(), "[]\n");
    assert!(missing.stderr().contains("no such image: nope"), "{}", missing.stderr());
    let history = berth.run(&["history", "app:1"]);
    assert!(history.starts_with("IMAGE          CREATED"), "{history}");
    assert!(history.contains("Imported from"), "{history}");
}

#[test]
fn names_go_and_their_images_with_the_last_one() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed, "root");
    berth.import("app:1", &[100_000]);
    berth.run(&["tag", "app:1", "app:2"]);
    let id = berth.run(&["images", "-q", "--no-trunc"]);
    assert_eq!(berth.run(&["rmi", "app:1"]), "Untagged: app:1\n");
    let deleted = berth.run(&["rmi", "app:2"]);
    assert!(deleted.starts_with("Untagged: app:2\nDeleted: sha256:"), "{deleted}");
    let blobs = bed.path().join("root/images/blobs/sha256");
    assert_eq!(std::fs::read_dir(blobs).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(bed.path().join("root/layers")).unwrap().count(), 0);
    let gone = berth.command(&["rmi", id.trim()]).output().expect_code(1);
    assert!(gone.stderr().contains("no such image"), "{}", gone.stderr());
    berth.run(&["rmi", "-f", "app:2"]);
}

#[test]
fn prune_spares_what_has_a_name_unless_told_otherwise() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed, "root");
    berth.import("app:1", &[1000]);
    berth.import("app:1", &[2000]);
    assert_eq!(berth.run(&["images", "-q", "-f", "dangling=true"]).lines().count(), 1);
    let pruned = berth.run(&["image", "prune", "-f"]);
    assert!(pruned.contains("Deleted Images:\ndeleted: sha256:"), "{pruned}");
    assert_eq!(berth.run(&["images", "-q"]).lines().count(), 1);
    assert!(berth.run(&["image", "prune", "-a", "-f"]).contains("untagged: app:1\n"));
    assert_eq!(berth.run(&["images", "-q"]), "");
}

#[test]
fn filters_and_pins_spare_images() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed, "root");
    berth.import("app:1", &[1000]);
    berth.import("app:2", &[2000]);
    assert_eq!(
        berth.run(&["images", "-q", "-f", "reference=app:1", "-f", "reference=*:2"]).lines().count(),
        2
    );
    assert_eq!(berth.run(&["images", "-q", "-f", "until=1h"]), "");
    assert_eq!(berth.run(&["images", "-q", "-f", "before=app:1"]), "");
    assert_eq!(berth.run(&["images", "-q", "-f", "since=hello", "-f", "reference=app"]).lines().count(), 2);
    berth.run(&["rmi", "hello"]);
    let wrong = berth.command(&["images", "-f", "size=1"]).output().expect_code(1);
    assert!(wrong.stderr().contains("unknown name \"size\""), "{}", wrong.stderr());
    for spared in ["until=24h", "label=made=there", "label!=made"] {
        berth.run(&["image", "prune", "-a", "-f", "--filter", spared]);
        assert_eq!(berth.run(&["images", "-q"]).lines().count(), 2, "{spared}");
    }
    berth.run(&["image", "pin", "app:1"]);
    assert_eq!(berth.run(&["image", "inspect", "-f", "{{.Pinned}}", "app:1"]), "true\n");
    berth.run(&["image", "prune", "-a", "-f", "--filter", "label=made=here"]);
    assert_eq!(berth.run(&["images", "--format", "{{.Tag}}"]), "1\n");
    berth.run(&["image", "unpin", "app:1"]);
    berth.run(&["image", "prune", "-f", "--filter", "dangling=false"]);
    assert_eq!(berth.run(&["images", "-q"]), "");
}

#[test]
fn all_tags_are_pulled() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let name = format!("{}/app", server.address());
    let here = Berth::new(&bed, "here");
    for (tag, size) in [("a", 1000), ("b", 2000)] {
        here.import(&format!("{name}:{tag}"), &[size]);
    }
    here.run(&["push", "-q", "-a", &name]);
    let there = Berth::new(&bed, "there");
    assert!(there.run(&["pull", "-a", &name]).ends_with(&format!("{name}\n")));
    assert_eq!(there.run(&["images", "-q"]).lines().count(), 2);
    let refused = there.command(&["pull", "-a", &format!("{name}:a")]).output().expect_code(1);
    assert!(refused.stderr().contains("tag can't be used with --all-tags"), "{}", refused.stderr());
}

#[test]
fn df_agrees_with_du() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed, "root");
    berth.import("app:1", &[3_000_000, 200_000]);
    berth.import("app:2", &[1_000_000]);
    berth.run(&["rmi", "--no-prune", "app:2"]);
    berth.run(&["image", "mount", "app:1"]);
    let shown = berth.run(&["df", "--format", "{{.Size}}"]);
    let bytes = |size: &str| {
        let digits = size.find(|c: char| c.is_ascii_alphabetic()).unwrap();
        let unit = match &size[digits..] {
            "B" => 1.0,
            "kB" => 1e3,
            unit => {
                assert_eq!(unit, "MB");
                1e6
            }
        };
        size[..digits].parse::<f64>().unwrap() * unit
    };
    let shown: f64 = shown.lines().map(bytes).sum();
    let root = bed.path().join("root");
    let du =
        testkit::Invocation::new(&bed, "du").args(["-sxB1"]).arg(&root).output().expect_success().stdout();
    let du: f64 = du.split_whitespace().next().unwrap().parse().unwrap();
    assert!((shown - du).abs() / du < 0.01, "df says {shown}, du {du}");
    berth.run(&["image", "unmount", "app:1"]);
}

#[test]
fn archives_go_through_files_and_pipes() {
    let bed = Testbed::new();
    let (here, there) = (Berth::new(&bed, "here"), Berth::new(&bed, "there"));
    here.import("app:1", &[1000]);
    let archive = bed.path().join("app.tar.zst");
    let path = archive.to_str().unwrap();
    here.run(&["save", "--compress", "zstd", "-o", path, "app:1"]);
    assert_eq!(there.run(&["load", "-i", path]), "Loaded image: app:1\n");
    there.run(&["rmi", "app:1"]);
    let piped = there.command(&["load"]).stdin(std::fs::read(&archive).unwrap()).output().expect_success();
    assert_eq!(piped.stdout(), "Loaded image: app:1\n");
    let layout = bed.path().join("layout");
    here.run(&["save", "--format", "oci-dir", "-o", layout.to_str().unwrap(), "app:1"]);
    there.run(&["load", "-q", "-i", layout.to_str().unwrap()]);
}

#[test]
fn private_registries_want_a_login() {
    let bed = Testbed::new();
    let server = DockerRegistry::with_password(&bed);
    let name = format!("{}/app", server.address());
    let berth = Berth::new(&bed, "root");
    berth.import(&name, &[1000]);
    let denied = berth.command(&["push", &name]).output().expect_code(1);
    assert!(
        denied.stderr().contains(&format!("hint: `berth login {}`", server.address())),
        "{}",
        denied.stderr()
    );
    let login = |password: &str| {
        let arguments = ["login", "-u", USER, "--password-stdin", server.address()];
        berth.command(&arguments).stdin(password).output()
    };
    login("wrong").expect_code(1);
    assert_eq!(login(PASSWORD).expect_success().stdout(), "Login Succeeded\n");
    berth.run(&["push", &name]);
    let removed = format!("Removing login credentials for {}\n", server.address());
    assert_eq!(berth.run(&["logout", server.address()]), removed);
    berth.command(&["pull", &name]).output().expect_code(1);
}

#[test]
fn trees_differences_and_mounts() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed, "root");
    berth.import("app:1", &[1000]);
    berth.import("app:2", &[1000, 50]);
    let tree = berth.run(&["image", "tree"]);
    assert_eq!(tree.lines().filter(|line| line.contains("◀ app:")).count(), 2, "{tree}");
    let difference = berth.run(&["image", "diff", "app:1", "app:2"]);
    assert!(difference.contains("A /file1\n") && !difference.contains("/file0"), "{difference}");
    let mounted = berth.run(&["image", "mount", "app:2"]);
    let root = std::path::Path::new(mounted.trim());
    assert_eq!(std::fs::metadata(root.join("file1")).unwrap().len(), 50);
    assert!(std::fs::write(root.join("new"), "").is_err(), "an image is mounted read-only");
    assert!(berth.run(&["image", "mount"]).starts_with("app:2 "));
    berth.run(&["image", "unmount", "app:2"]);
    berth.command(&["image", "unmount", "app:2"]).output().expect_code(1);
    assert_eq!(berth.run(&["fsck"]), "clean\n");
}

#[test]
fn lists_of_manifests_are_made_and_pushed() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let name = format!("{}/list:1", server.address());
    let berth = Berth::new(&bed, "root");
    berth.import("member:1", &[1000]);
    berth.run(&["manifest", "create", &name, "member:1"]);
    berth.command(&["manifest", "create", &name, "member:1"]).output().expect_code(1);
    let digest = berth.run(&["manifest", "push", &name]);
    assert!(digest.starts_with("sha256:"), "{digest}");
    let inspected: serde_json::Value =
        serde_json::from_str(&berth.run(&["manifest", "inspect", &name])).unwrap();
    assert_eq!(inspected["manifests"][0]["platform"]["os"], "linux");
}
