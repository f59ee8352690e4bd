//! The images that are part of berth, and who may take images away.

mod support;

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;

use image::{Builtin, Error, Image, ImageUser, Images};
use oci::image::Digest;
use snapshot::{Snapshot, SnapshotError};
use store::GcOptions;
use support::{images, layers, load, reference, told};
use testkit::Testbed;

const NOBODY: &dyn Fn(&Digest) -> Vec<ImageUser> = &|_| Vec::new();

fn named(images: &Images, name: &str) -> Image {
    images.find(name, &[reference(&format!("docker.io/library/{name}"))]).unwrap()
}

/// A snapshot's root for as long as the mount is held.
struct Mounted {
    mount: std::os::fd::OwnedFd,
}

impl Mounted {
    fn of(snapshot: &Snapshot<'_>) -> Mounted {
        Mounted { mount: snapshot.mount(None).unwrap() }
    }

    fn at(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.mount.as_raw_fd())).join(path)
    }
}

#[test]
fn hello_needs_nothing_but_the_binary() {
    let bed = Testbed::new();
    let images = images(&bed, "root");
    let image = named(&images, "hello");
    assert_eq!(image.names, ["localhost/hello:latest"]);
    assert_eq!(image.config.config.cmd.as_deref(), Some(&["/hello".to_owned()][..]));
    assert_eq!(images.list(&[]).unwrap().len(), 1);
    let snapshot = images.prepare("box", &image).unwrap();
    let root = Mounted::of(&snapshot);
    let output = Command::new(root.at("hello")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("namespaces"), "{text}");
    assert!(images.fsck(true).unwrap().is_clean());
}

#[test]
fn what_was_removed_or_damaged_comes_back() {
    let bed = Testbed::new();
    let images = images(&bed, "root");
    let first = named(&images, "hello");
    images.remove("hello", &[], false, NOBODY).unwrap();
    images.gc(GcOptions::default()).unwrap();
    assert!(matches!(images.remove("hello", &[], false, NOBODY), Err(Error::NotFound(_))));
    // The image was found before another process took it away.
    let snapshot = images.prepare("box", &first).unwrap();
    drop(Mounted::of(&snapshot));
    assert_eq!(named(&images, "hello").id(), first.id());

    // As a power cut leaves them: the right names, the wrong bytes.
    let blob = images.store().blob_path(&first.manifest.layers[0].digest);
    let program = images.snapshots().layers().unwrap()[0].path.join("hello");
    for damaged in [&blob, &program] {
        File::create(damaged).unwrap().set_len(if damaged == &blob { 45_568 } else { 0 }).unwrap();
    }
    let again = named(&images, "hello");
    assert_eq!(again.id(), first.id());
    assert!(fs::metadata(&program).unwrap().len() > 1000);
    assert!(images.fsck(true).unwrap().is_clean());
}

#[test]
fn a_name_that_somebody_gave_to_an_image_is_theirs() {
    let bed = Testbed::new();
    let images = images(&bed, "root");
    let mine = load(&images, "app:1", &layers());
    images.tag(&mine, &reference("localhost/hello")).unwrap();
    assert_eq!(named(&images, "hello").id(), mine.id());
    images.tag(&mine, &reference("docker.io/library/host")).unwrap();
    assert_eq!(named(&images, "host").id(), mine.id());
}

#[test]
fn the_host_can_be_broken_without_harm() {
    let bed = Testbed::new();
    let images = images(&bed, "root");
    let image = named(&images, "host");
    let snapshot = images.prepare("box", &image).unwrap();
    let root = Mounted::of(&snapshot);
    let probe = format!("etc/{}", bed.name());
    fs::write(root.at(&probe), "changed").unwrap();
    fs::remove_file(root.at("etc/passwd")).unwrap();
    assert!(!root.at("etc/passwd").exists());
    assert!(PathBuf::from("/etc/passwd").exists() && !PathBuf::from("/").join(&probe).exists());
    for hidden in ["run", "tmp"] {
        assert_eq!(fs::read_dir(root.at(hidden)).unwrap().count(), 0, "{hidden}");
        let modes =
            [root.at(hidden), PathBuf::from("/").join(hidden)].map(|path| fs::metadata(path).unwrap());
        assert!(hidden != "tmp" || modes[0].permissions() == modes[1].permissions(), "{modes:?}");
    }
    // In the VM /proc and /dev of the root file system may lack; here they are empty directories.
    assert!(!root.at("proc/self").exists());
    let changed: Vec<String> = snapshot
        .changed()
        .unwrap()
        .iter()
        .map(|it| format!("{:?} {}", it.change, String::from_utf8_lossy(&it.path)))
        .collect();
    assert_eq!(
        changed,
        ["Changed etc".to_owned(), format!("Added {probe}"), "Deleted etc/passwd".to_owned()]
    );
    let error = images.snapshots().commit("box", std::io::sink()).unwrap_err();
    assert!(matches!(error, SnapshotError::OverHost(_)), "{error}");
}

#[test]
fn the_host_shows_neither_other_containers_nor_its_sockets() {
    let bed = Testbed::new();
    // Not below /tmp, which is hidden anyway.
    let place = PathBuf::from(format!("/var/tmp/{}", bed.name()));
    fs::create_dir_all(place.join("root")).unwrap();
    let images = Images::open(&place.join("root")).unwrap();
    let host = named(&images, "host");
    let socket = place.join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let snapshot = images.prepare("box", &host).unwrap();
    {
        let root = Mounted::of(&snapshot);
        let below = place.strip_prefix("/").unwrap().to_str().unwrap().to_owned();
        assert!(root.at(&below).join("socket").exists());
        assert_eq!(fs::read_dir(root.at(&below).join("root")).unwrap().count(), 0);
        assert!(UnixStream::connect(root.at(&below).join("socket")).is_err());
        assert!(UnixStream::connect(&socket).is_ok());
        let view = images.mount(&host).unwrap();
        assert!(view.join("etc/passwd").exists() && fs::write(view.join("etc/new"), "").is_err());
        images.unmount(&host).unwrap();
    }
    drop(listener);
    fs::remove_dir_all(&place).unwrap();
}

#[test]
fn no_other_image_shows_the_host() {
    let bed = Testbed::new();
    let images = images(&bed, "root");
    let host = images.builtin(Builtin::Host).unwrap();
    images.tag(&host, &reference("r.test/evil")).unwrap();
    images.remove("host", &[], false, NOBODY).unwrap();
    let evil = images.find("r.test/evil", &[reference("r.test/evil")]).unwrap();
    assert_eq!(evil.id(), host.id());
    let snapshot = images.prepare("box", &evil).unwrap();
    assert!(!snapshot.is_over_host());
    assert_eq!(fs::read_dir(Mounted::of(&snapshot).at("")).unwrap().count(), 0);
}

#[test]
fn images_in_use_stay_in_dockers_words() {
    let bed = Testbed::new();
    let images = images(&bed, "root");
    let image = load(&images, "app:1", &layers());
    let id = image.id().short();
    let user = |running| ImageUser { container: "0123456789abcdef".repeat(4), running };
    let remove = |text: &str, force, running| {
        let names = text.contains(':').then(|| reference(text));
        let names: Vec<_> = names.into_iter().collect();
        images.remove(text, &names, force, &|_| vec![user(running)])
    };
    assert_eq!(
        told(&remove("app:1", false, false).unwrap_err()),
        format!(
            "conflict: unable to remove repository reference \"app:1\" (must force) - container 0123456789ab is using \
             its referenced image {id}"
        )
    );
    assert_eq!(
        told(&remove(&id, true, true).unwrap_err()),
        format!(
            "conflict: unable to delete {id} (cannot be forced) - image is being used by running container 0123456789ab"
        )
    );
    assert_eq!(
        told(&remove(&id, false, false).unwrap_err()),
        format!(
            "conflict: unable to delete {id} (must be forced) - image is being used by stopped container 0123456789ab"
        )
    );
    images.tag(&image, &reference("app:2")).unwrap();
    assert_eq!(
        told(&images.remove(&id, &[], false, NOBODY).unwrap_err()),
        format!(
            "conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories"
        )
    );
    assert_eq!(remove("app:2", false, true).unwrap().deleted, []);
    let forced = remove("app:1", true, true).unwrap();
    assert_eq!((forced.untagged.len(), forced.deleted.len()), (1, 0));
    // The image stays without a name for as long as there is a container of it.
    images.gc(GcOptions::default()).unwrap();
    assert_eq!(images.list(&[]).unwrap()[0].reference, None);
    assert_eq!(images.remove(&id, &[], true, NOBODY).unwrap().deleted.len(), 1);
}

#[test]
fn everybody_may_make_and_take_it_at_once() {
    let bed = Testbed::new();
    let root = bed.path().join("root");
    fs::create_dir_all(&root).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let root = &root;
            scope.spawn(move || {
                let images = Images::open(root).unwrap();
                for turn in 0..6 {
                    let image = named(&images, "hello");
                    let snapshot = images.prepare(&format!("box{worker}-{turn}"), &image).unwrap();
                    assert!(Mounted::of(&snapshot).at("hello").exists());
                    match images.remove("hello", &[], true, NOBODY) {
                        Ok(_) | Err(Error::NotFound(_)) => {}
                        Err(error) => panic!("{}", told(&error)),
                    }
                    images.snapshots().remove(snapshot.key()).unwrap();
                    images.gc(GcOptions::default()).unwrap();
                }
            });
        }
    });
    assert!(Images::open(&root).unwrap().fsck(true).unwrap().is_clean());
}
