//! Volumes and mounts.

use testkit::Testbed;

use crate::{Berth, IMAGE};

#[test]
fn volumes_keep_what_containers_write() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    assert_eq!(berth.run(&["volume", "create", "--label", "a=b", "data"]), "data\n");
    berth.script(&["--rm", "-v", "data:/d"], "echo kept > /d/file").output().expect_success();
    let read = berth.script(&["--rm", "--mount", "source=data,target=/e,readonly"], "cat /e/file").output();
    assert_eq!(read.expect_success().stdout(), "kept\n");
    assert_eq!(berth.run(&["volume", "ls"]), "DRIVER    VOLUME NAME\nlocal     data\n");
    assert_eq!(berth.run(&["volume", "ls", "-q", "-f", "label=a=c"]), "");
    let mountpoint = berth.run(&["volume", "inspect", "-f", "{{.Mountpoint}}", "data"]);
    let content = std::fs::read_to_string(std::path::Path::new(mountpoint.trim()).join("file")).unwrap();
    assert_eq!(content, "kept\n");

    berth.script(&["--name", "user", "-v", "data:/d", "-v", "/anonymous"], "true").output().expect_success();
    assert_eq!(berth.run(&["volume", "ls", "-q"]).lines().count(), 2);
    assert!(berth.fails(1, &["volume", "rm", "data"]).contains("in use"));
    berth.run(&["rm", "-v", "user"]);
    assert_eq!(berth.run(&["volume", "rm", "data"]), "data\n");
    assert!(berth.fails(1, &["volume", "rm", "data"]).contains("no such volume"));
    assert_eq!(berth.run(&["volume", "ls", "-q"]), "");
    assert!(berth.run(&["volume", "prune", "-f", "-a"]).contains("Total reclaimed space: 0B"));
}

#[test]
fn directories_of_the_host_are_bound() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let directory = bed.path().join("shared");
    std::fs::create_dir(&directory).unwrap();
    let bind = format!("{}:/shared", directory.display());
    berth.script(&["--rm", "-v", &bind], "echo out > /shared/file").output().expect_success();
    assert_eq!(std::fs::read_to_string(directory.join("file")).unwrap(), "out\n");
    let read_only = format!("{bind}:ro");
    let refused = berth.script(&["--rm", "-v", &read_only], "echo x > /shared/file").output().expect_code(1);
    assert!(refused.stderr().contains("Read-only file system"), "{}", refused.stderr());
    let wrong = berth.fails(125, &["run", "--rm", "-v", "a:b:c:d", IMAGE]);
    assert!(wrong.contains("invalid argument \"a:b:c:d\" for \"-v, --volume\" flag: "), "{wrong}");
}

#[test]
fn images_are_mounted_by_the_names_that_people_type() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    berth.script(&["--name", "tool"], "echo 7 > /version").output().expect_success();
    berth.run(&["commit", "tool", "tools/seven"]);
    berth.run(&["rm", "tool"]);
    for source in [IMAGE, "tools/seven", "docker.io/tools/seven:latest"] {
        let mount = format!("type=image,source={source},target=/image");
        let shown =
            berth.script(&["--rm", "--mount", &mount], "ls /image; ! touch /image/new 2>/dev/null").output();
        let shown = shown.expect_success().stdout();
        assert_eq!(shown.contains("version"), source != IMAGE, "{source}: {shown}");
        assert!(shown.contains("bin\n"), "{source}: {shown}");
    }
}

#[test]
fn what_happens_to_volumes_is_told() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let id = berth.script(&["-d", "--name", "web", "-v", "data:/d:ro"], "true").output().expect_success();
    berth.run(&["wait", "web"]);
    berth.run(&["rm", "web"]);
    berth.run(&["volume", "rm", "data"]);
    let query = ["events", "--since", "0", "--until", "0s", "-f", "type=volume", "-f", "volume=data"];
    let template = "{{.Action}} {{.Actor.ID}} {{.Actor.Attributes}}";
    let told = berth.run(&[&query[..], &["--format", template]].concat());
    let id = id.stdout().trim().to_owned();
    let wanted = format!(
        "create data map[driver:local]\n\
         mount data map[container:{id} destination:/d driver:local read/write:false]\n\
         unmount data map[container:{id} driver:local]\n\
         destroy data map[driver:local]\n"
    );
    assert_eq!(told, wanted);
}
