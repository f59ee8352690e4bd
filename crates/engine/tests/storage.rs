//! Volumes, and files of containers that do not run, on the real kernel.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use engine::config::{CreateConfig, MountConfig, VolumeOptions};
use engine::volumes::NewVolume;
use engine::{Change, Commit, Container, CopyOptions, Engine, Filters, Kind, Paths, RemoveOptions};
use image::ImportOptions;
use oci::image::Platform;
use snapshot::layer::{Packing, pack};
use testkit::Testbed;

/// An engine in a bed, with one image.
struct House<'a> {
    bed: &'a Testbed,
    engine: Engine,
}

impl<'a> House<'a> {
    fn new(bed: &'a Testbed) -> House<'a> {
        let engine = Engine::open(Paths::new(Some(bed.path().join("root")))).unwrap();
        let house = House { bed, engine };
        let tree = house.path("tree");
        fs::create_dir_all(tree.join("data/sub")).unwrap();
        fs::write(tree.join("data/sub/file"), "of the image").unwrap();
        fs::hard_link(tree.join("data/sub/file"), tree.join("data/twin")).unwrap();
        chown(tree.join("data"), Some(1000), Some(1001)).unwrap();
        fs::set_permissions(tree.join("data"), fs::Permissions::from_mode(0o750)).unwrap();
        fs::create_dir(tree.join("etc")).unwrap();
        fs::write(tree.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        symlink("/../../../../etc", tree.join("way-out")).unwrap();
        symlink("/etc/passwd", tree.join("link")).unwrap();
        house.import(&tree);
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.bed.path().join(name)
    }

    fn import(&self, tree: &Path) {
        let mut archive = Vec::new();
        let directory = fs::File::open(tree).unwrap();
        pack(directory.as_fd(), b".", b"", &mut archive, Packing::default()).unwrap();
        let options = ImportOptions {
            message: String::new(),
            platform: Platform::host(),
            config: oci::image::ContainerConfig::default(),
            created: SystemTime::now(),
        };
        let name = "test:latest".parse().unwrap();
        self.engine.images().unwrap().import("test", &archive[..], Some(&name), options).unwrap();
    }

    fn create(&self, change: impl FnOnce(&mut CreateConfig)) -> Container {
        self.try_create(change).unwrap()
    }

    fn try_create(&self, change: impl FnOnce(&mut CreateConfig)) -> engine::Result<Container> {
        let image = self.engine.images()?.find("test", &["test:latest".parse().unwrap()])?;
        let mut config = CreateConfig::default();
        config.config.image = "test".into();
        config.config.cmd = Some(vec!["/bin/true".into()]);
        change(&mut config);
        Ok(self.engine.create(None, &config, &image)?.container)
    }

    fn remove(&self, container: &Container) {
        self.engine.remove(container, RemoveOptions { force: true, volumes: true }).unwrap();
    }

    fn users(&self) -> engine::Result<BTreeMap<String, Vec<String>>> {
        self.engine.volume_users()
    }

    fn in_volume(&self, name: &str, path: &str) -> PathBuf {
        self.engine.volumes().get(name).unwrap().mountpoint().join(path)
    }

    fn copy_to(&self, container: &Container, from: &Path, to: &str) -> engine::Result<u64> {
        self.engine.copy_to(container, from, to, CopyOptions::default())
    }

    fn copy_from(&self, container: &Container, from: &str, to: &Path) -> engine::Result<u64> {
        self.engine.copy_from(container, from, to, CopyOptions::default())
    }
}

#[test]
fn a_volume_is_made_shown_and_removed() {
    let bed = Testbed::new();
    let house = House::new(&bed);
    let volumes = house.engine.volumes();
    let new =
        NewVolume { name: "data".into(), labels: [("a".into(), "b".into())].into(), ..NewVolume::default() };
    volumes.create(&new).unwrap();
    // Making it again gives the same.
    volumes.create(&new).unwrap();
    let info = serde_json::to_value(volumes.get("data").unwrap().inspect()).unwrap();
    let keys: Vec<&String> = info.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope"]);
    let options = [("type".into(), "tmpfs".into()), ("device".into(), "tmpfs".into())].into();
    let other = NewVolume { options, ..new.clone() };
    assert!(volumes.create(&other).unwrap_err().to_string().contains("other options"));

    let container = house.create(|config| config.host_config.binds = vec!["data:/d".into()]);
    let error = volumes.remove("data", &|| house.users()).unwrap_err();
    assert_eq!(error.to_string(), format!("remove data: volume is in use - [{}]", container.id));
    assert_eq!(error.kind(), Kind::Conflict);
    house.remove(&container);
    volumes.remove("data", &|| house.users()).unwrap();
    assert_eq!(volumes.remove("data", &|| house.users()).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn anonymous_volumes_go_with_their_container_and_prune_takes_the_rest() {
    let bed = Testbed::new();
    let house = House::new(&bed);
    let volumes = house.engine.volumes();
    let with_both = |config: &mut CreateConfig| {
        config.host_config.binds = vec!["/anonymous".into(), "named:/n".into()];
    };
    let container = house.create(with_both);
    assert_eq!(volumes.list().unwrap().len(), 2);
    house.remove(&container);
    assert_eq!(
        volumes.list().unwrap().iter().map(|one| one.name().to_owned()).collect::<Vec<_>>(),
        ["named"]
    );
    let kept = house.create(with_both);
    house.engine.remove(&kept, RemoveOptions::default()).unwrap();
    let pruned = volumes.prune(false, &Filters::default(), &|| house.users()).unwrap();
    assert_eq!(pruned.volumes.len(), 1, "the anonymous one");
    let pruned = volumes.prune(true, &Filters::default(), &|| house.users()).unwrap();
    assert_eq!(pruned.volumes, ["named"]);
}

#[test]
fn what_a_killed_maker_left_is_swept_away() {
    let bed = Testbed::new();
    let house = House::new(&bed);
    let volumes = house.engine.volumes();
    volumes.create(&NewVolume { name: "kept".into(), ..NewVolume::default() }).unwrap();
    let root = house.path("root/volumes");
    fs::create_dir_all(root.join(".new-dead/_data")).unwrap();
    fs::create_dir_all(root.join(".gone-dead/_data")).unwrap();
    volumes.prune(false, &Filters::default(), &|| house.users()).unwrap();
    let mut left: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["kept", "lock"]);
}

#[test]
fn a_new_volume_is_filled_once_with_owners_and_links_kept() {
    let bed = Testbed::new();
    let house = House::new(&bed);
    let create = || house.create(|config| config.host_config.binds = vec!["data:/data".into()]);
    let (container, other) = (create(), create());
    // Two containers at once: both see a whole volume.
    std::thread::scope(|scope| {
        for container in [&container, &other] {
            let engine = &house.engine;
            scope.spawn(move || engine.stat_path(container, "/data/twin").unwrap());
        }
    });
    house.remove(&other);
    let root = fs::metadata(house.in_volume("data", "")).unwrap();
    assert_eq!((root.uid(), root.gid(), root.mode() & 0o7777), (1000, 1001, 0o750));
    assert_eq!(fs::read_to_string(house.in_volume("data", "sub/file")).unwrap(), "of the image");
    let inode = |path| fs::metadata(house.in_volume("data", path)).unwrap().ino();
    assert_eq!(inode("twin"), inode("sub/file"));

    // One that was killed while it copied is done over.
    fs::remove_file(house.in_volume("data", "twin")).unwrap();
    fs::write(house.path("root/volumes/data/populating"), "").unwrap();
    house.engine.stat_path(&container, "/data").unwrap();
    assert!(house.in_volume("data", "twin").exists());
    // What has files stays as it is.
    fs::remove_file(house.in_volume("data", "twin")).unwrap();
    house.engine.stat_path(&container, "/data").unwrap();
    assert!(!house.in_volume("data", "twin").exists());
    house.remove(&container);

    let mount = MountConfig {
        r#type: "volume".into(),
        source: "empty".into(),
        target: "/data".into(),
        volume_options: Some(VolumeOptions { no_copy: true, ..VolumeOptions::default() }),
        ..MountConfig::default()
    };
    let container = house.create(|config| config.host_config.mounts = vec![mount]);
    house.engine.stat_path(&container, "/data").unwrap();
    assert_eq!(fs::read_dir(house.in_volume("empty", "")).unwrap().count(), 0);
    house.remove(&container);
}

#[test]
fn a_backup_restores_to_the_same() {
    let bed = Testbed::new();
    let house = House::new(&bed);
    let container = house.create(|config| config.host_config.binds = vec!["from:/data".into()]);
    house.engine.stat_path(&container, "/data").unwrap();
    // No name is special in a volume.
    fs::write(house.in_volume("from", ".wh.file"), "plain").unwrap();
    let mut archive = Vec::new();
    house.engine.volumes().backup("from", &mut archive).unwrap();
    house.engine.volumes().restore("to", &archive[..]).unwrap();
    assert_eq!(fs::read_to_string(house.in_volume("to", ".wh.file")).unwrap(), "plain");
    assert_eq!(fs::read_to_string(house.in_volume("to", "sub/file")).unwrap(), "of the image");
    assert_eq!(fs::metadata(house.in_volume("to", "twin")).unwrap().nlink(), 2);
    let error = house.engine.volumes().restore("broken", &archive[..1000]).unwrap_err().to_string();
    assert!(error.contains("volume broken") && error.contains("truncated"), "{error}");
    assert!(house.engine.volumes().get("broken").is_err(), "nothing is left of it");
    house.remove(&container);
}

#[test]
fn files_are_copied_both_ways_by_dockers_rules() {
    let bed = Testbed::new();
    let house = House::new(&bed);
    let container = house.create(|_| ());
    let own = house.path("own");
    fs::create_dir_all(own.join("inner")).unwrap();
    fs::write(own.join("inner/x"), "x").unwrap();
    chown(own.join("inner/x"), Some(7), Some(7)).unwrap();

    house.copy_to(&container, &own, "/new").unwrap();
    house.copy_to(&container, &own, "/etc").unwrap();
    house.copy_to(&container, Path::new(&format!("{}/.", own.display())), "/etc").unwrap();
    house.copy_to(&container, &own.join("inner/x"), "/etc/y").unwrap();
    for (path, there) in [
        ("/new/inner/x", true),
        ("/etc/own/inner/x", true),
        ("/etc/inner/x", true),
        ("/etc/y", true),
        ("/new/own", false),
    ] {
        assert_eq!(house.engine.stat_path(&container, path).is_ok(), there, "{path}");
    }
    let back = house.path("back");
    house.copy_from(&container, "/new", &back).unwrap();
    assert_eq!(fs::read_to_string(back.join("inner/x")).unwrap(), "x");
    let archive = CopyOptions { archive: true, ..CopyOptions::default() };
    house.engine.copy_to(&container, &own, "/with-owner", archive).unwrap();
    house.engine.copy_from(&container, "/with-owner/inner/x", &house.path("x"), archive).unwrap();
    assert_eq!(fs::metadata(house.path("x")).unwrap().uid(), 7);

    let refused = |done: engine::Result<u64>, part: &str| {
        let error = done.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(house.copy_to(&container, &own.join("inner/x"), "/nowhere/x"), "Could not find the file");
    refused(house.copy_to(&container, &own.join("inner/x"), "/nothing/"), "no such directory");
    refused(house.copy_to(&container, &own, "/etc/passwd"), "cannot copy directory");
    refused(house.copy_from(&container, "/etc/passwd/", &back), "not a directory");
    refused(house.copy_from(&container, "/none", &back), "Could not find the file /none");
    house.remove(&container);
}

#[test]
fn links_of_a_hostile_container_lead_nowhere_else() {
    let bed = Testbed::new();
    let house = House::new(&bed);
    let container = house.create(|_| ());
    let file = house.path("file");
    fs::write(&file, "from the host").unwrap();
    // CVE-2018-15664: "way-out" is the container's own /etc, however many `..` its target has.
    let name = format!("{}-escape", bed.name());
    house.copy_to(&container, &file, &format!("/way-out/{name}")).unwrap();
    assert!(!Path::new("/etc").join(&name).exists());
    house.engine.stat_path(&container, &format!("/etc/{name}")).unwrap();
    // A link at the end is followed, within the container, to be written and to be read with -L.
    let read = house.path("read");
    let follow = CopyOptions { follow_link: true, ..CopyOptions::default() };
    house.engine.copy_from(&container, "/link", &read, follow).unwrap();
    assert_eq!(fs::read_to_string(&read).unwrap(), "root:x:0:0::/root:/bin/sh\n");
    house.copy_to(&container, &file, "/link").unwrap();
    house.engine.copy_from(&container, "/etc/passwd", &read, follow).unwrap();
    assert_eq!(fs::read_to_string(&read).unwrap(), "from the host");
    // An archive whose names lead out is refused.
    let mut archive = Vec::new();
    let directory = fs::File::open(bed.path()).unwrap();
    pack(directory.as_fd(), b"file", b"../../escape", &mut archive, Packing::default()).unwrap();
    let error = house.engine.extract_to(&container, "/etc", &archive[..], false).unwrap_err().to_string();
    assert!(error.contains(".."), "{error}");
    house.remove(&container);
}

#[test]
fn a_container_is_told_apart_committed_and_exported_without_its_volumes() {
    let bed = Testbed::new();
    let house = House::new(&bed);
    let container = house.create(|config| {
        config.host_config.binds = vec!["data:/data".into()];
        config.config.env = vec!["A=1".into()];
    });
    let file = house.path("file");
    fs::write(&file, "new").unwrap();
    house.copy_to(&container, &file, "/etc/new").unwrap();
    house.copy_to(&container, &file, "/data/in-volume").unwrap();
    let changes = house.engine.diff(&container).unwrap();
    assert_eq!(changes, [(Change::Changed, "/etc".to_owned()), (Change::Added, "/etc/new".to_owned())]);

    let name: oci::Reference = "committed:latest".parse().unwrap();
    let request = Commit {
        author: "me".into(),
        message: "a note".into(),
        changes: vec!["CMD [\"run\"]".into(), "LABEL x=y".into()],
        name: Some(name.clone()),
        pause: true,
    };
    let id = house.engine.commit(&container, &request).unwrap();
    let images = house.engine.images().unwrap();
    let image = images.find("committed", &[name]).unwrap();
    assert_eq!(image.id().to_string(), id);
    let config = &image.config.config;
    assert_eq!((config.cmd.clone().unwrap(), config.env.clone()), (vec!["run".into()], vec!["A=1".into()]));
    assert_eq!(image.config.history.last().unwrap().comment.as_deref(), Some("a note"));
    let base = images.find("test", &["test:latest".parse().unwrap()]).unwrap();
    let paths: Vec<PathBuf> =
        images.diff(&base, &image).unwrap().into_iter().map(|change| change.path).collect();
    assert_eq!(paths, [PathBuf::from("/etc/new")], "nothing of the volume");

    let mut archive = Vec::new();
    house.engine.export(&container, &mut archive).unwrap();
    let text = String::from_utf8_lossy(&archive);
    assert!(text.contains("etc/new") && text.contains("data/sub/file") && !text.contains("in-volume"));
    house.remove(&container);
}

#[test]
fn what_can_not_be_mounted_leaves_nothing() {
    let bed = Testbed::new();
    let house = House::new(&bed);
    let refused = |change: &dyn Fn(&mut CreateConfig), part: &str| {
        let error = house.try_create(change).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert!(house.engine.volumes().list().unwrap().is_empty());
    };
    refused(
        &|config| config.host_config.binds = vec!["/x".into(), "named:/x".into()],
        "Duplicate mount point: /x",
    );
    let missing = MountConfig {
        r#type: "bind".into(),
        source: "/nowhere/at/all".into(),
        target: "/x".into(),
        ..MountConfig::default()
    };
    refused(
        &|config| {
            config.host_config.binds = vec!["/anonymous".into()];
            config.host_config.mounts = vec![missing.clone()];
        },
        "bind source path does not exist: /nowhere/at/all",
    );
    refused(&|config| config.host_config.volumes_from = vec!["nobody".into()], "No such container: nobody");
}
