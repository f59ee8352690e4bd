//! What every driver must do, run for each.

mod support;

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use oci::image::Digest;
use oci::image::config::chain_ids;
use snapshot::{Driver, LayerSource, SnapshotError, Snapshots};
use support::{Member, chain, dir, fifo, file, hard, layer, symlink, tree};

fn open(root: &Path, driver: Driver) -> Snapshots {
    Snapshots::open_with(root, driver).unwrap()
}

/// Unpacks layers of members, lowest first.
fn unpack(snapshots: &Snapshots, layers: &[Vec<Member>]) -> Digest {
    let archives: Vec<_> = layers.iter().map(|members| layer(members)).collect();
    unpack_archives(snapshots, &archives).unwrap().unwrap()
}

fn unpack_archives(snapshots: &Snapshots, archives: &[Vec<u8>]) -> snapshot::Result<Option<Digest>> {
    let sources = archives.iter().map(|archive| source(Digest::sha256(archive), archive)).collect();
    snapshots.unpack(sources, &snapshots.unpack_options(), &mut |_| {})
}

fn source<'a>(diff_id: Digest, archive: &'a [u8]) -> LayerSource<'a> {
    LayerSource { diff_id, open: Box::new(move || Ok(Box::new(archive) as Box<dyn Read + Send>)) }
}

/// A snapshot's file system, mounted for as long as this lives.
struct Mounted(PathBuf);

impl Mounted {
    fn new(snapshots: &Snapshots, key: &str) -> Mounted {
        let snapshot = snapshots.snapshot(key).unwrap();
        let mount = snapshot.mount(None).unwrap_or_else(|error| panic!("{}", chain(&error)));
        let merged = snapshot.layout().unwrap().merged;
        rustix::mount::move_mount(
            mount.as_fd(),
            "",
            rustix::fs::CWD,
            &merged,
            rustix::mount::MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )
        .unwrap();
        Mounted(merged)
    }

    fn names(&self) -> Vec<String> {
        tree(&self.0).into_keys().skip(1).map(|path| path.to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

macro_rules! conformance {
    ($($test:ident)*) => {
        mod overlay { $(#[test] fn $test() { super::$test(snapshot::Driver::Overlay) })* }
        mod copy { $(#[test] fn $test() { super::$test(snapshot::Driver::Copy) })* }
    };
}

conformance! {
    layers_show_through_in_order
    whiteouts_and_opaque_directories_hide
    every_kind_of_file_survives
    implied_directories_look_as_below
    writes_stay_in_the_snapshot
    views_cannot_be_written_to
    nothing_at_all_can_be_prepared
    what_is_in_use_stays
    init_files_lie_over_the_image
    keys_are_checked
    committed_changes_are_the_same_layer_again
    usage_is_what_du_says
    id_mapped_files_belong_to_the_namespace
}

fn layers_show_through_in_order(driver: Driver) {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), driver);
    let top = unpack(
        &snapshots,
        &[
            vec![dir("d"), file("d/a", "1"), file("f", "1")],
            vec![dir("d"), file("d/b", "2")],
            vec![file("f", "3")],
        ],
    );
    snapshots.view("v", Some(&top)).unwrap();
    let mounted = Mounted::new(&snapshots, "v");
    assert_eq!(mounted.names(), ["d", "d/a", "d/b", "f"]);
    assert_eq!(std::fs::read_to_string(mounted.0.join("f")).unwrap(), "3");
}

fn whiteouts_and_opaque_directories_hide(driver: Driver) {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), driver);
    let base = vec![
        dir("d"),
        file("d/a", ""),
        file("d/b", ""),
        dir("o"),
        file("o/old", ""),
        dir("r"),
        file("r/x", ""),
        file("f", ""),
    ];
    let top = unpack(
        &snapshots,
        &[
            base,
            vec![
                dir("d"),
                file("d/.wh.a", ""),
                dir("o"),
                file("o/.wh..wh..opq", ""),
                file("o/new", ""),
                file(".wh.r", ""),
            ],
            vec![file(".wh.f", ""), file("r/y", ""), dir("o"), file("o/newer", "")],
        ],
    );
    snapshots.prepare("c", Some(&top)).unwrap();
    assert_eq!(Mounted::new(&snapshots, "c").names(), ["d", "d/b", "o", "o/new", "o/newer", "r", "r/y"]);
}

fn every_kind_of_file_survives(driver: Driver) {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), driver);
    let mut suid = file("suid", "program");
    (suid.entry.mode, suid.entry.uid, suid.entry.gid) = (0o6755, 1000, 2000);
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    suid.entry.xattrs =
        vec![(b"security.capability".to_vec(), capability.to_vec()), (b"user.note".to_vec(), b"hi".to_vec())];
    let mut sticky = dir("tmp");
    sticky.entry.mode = 0o1777;
    let mut link = symlink("link", "suid");
    link.entry.uid = 5;
    let mut sparse = file("sparse", "end!");
    sparse.entry.size = (8 << 20) + 4;
    sparse.entry.sparse = Some(vec![snapshot::tar::Segment { offset: 8 << 20, length: 4 }]);
    let members = vec![
        suid,
        hard("other", "suid"),
        sticky,
        link,
        sparse,
        fifo("tmp/pipe"),
        support::device("tmp/null", 1, 3),
    ];
    let top = unpack(&snapshots, &[members]);
    let layer = snapshots.layer(&top).unwrap().path;
    let snapshot = snapshots.prepare("c", Some(&top)).unwrap();
    let mounted = Mounted::new(&snapshots, "c");
    assert_eq!(tree(&mounted.0), tree(&layer));
    let shown = tree(&layer);
    let suid = &shown[Path::new("suid")];
    assert!(suid.starts_with("106755 1000:2000 1600000000.123456789 7"), "{suid}");
    assert!(suid.contains("security.capability") && suid.contains("user.note"), "{suid}");
    assert!(
        suid.ends_with("user.note=[104, 105]") && shown[Path::new("other")].contains("= other"),
        "{shown:?}"
    );
    let sparse = std::fs::metadata(mounted.0.join("sparse")).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert!(sparse.blocks() < 64, "{} blocks", sparse.blocks());
    assert_eq!(snapshot.parent(), Some(&top));
}

fn implied_directories_look_as_below(driver: Driver) {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), driver);
    let mut root = dir("./");
    (root.entry.mode, root.entry.uid) = (0o750, 7);
    let mut secret = dir("a/secret");
    (secret.entry.mode, secret.entry.gid) = (0o2700, 9);
    let top = unpack(
        &snapshots,
        &[vec![root, dir("a"), secret], vec![file("other", "")], vec![file("a/secret/key", "")]],
    );
    snapshots.prepare("c", Some(&top)).unwrap();
    let mounted = Mounted::new(&snapshots, "c");
    let shown = tree(&mounted.0);
    assert!(shown[Path::new("")].starts_with("40750 7:0 1600000000"), "{shown:?}");
    assert!(shown[Path::new("a/secret")].starts_with("42700 0:9 1600000000"), "{shown:?}");
}

fn writes_stay_in_the_snapshot(driver: Driver) {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), driver);
    let top = unpack(&snapshots, &[vec![file("f", "old"), file("g", "")]]);
    let before = tree(&snapshots.layer(&top).unwrap().path);
    for key in ["one", "two"] {
        snapshots.prepare(key, Some(&top)).unwrap();
    }
    let (one, two) = (Mounted::new(&snapshots, "one"), Mounted::new(&snapshots, "two"));
    std::fs::write(one.0.join("f"), "new").unwrap();
    std::fs::remove_file(one.0.join("g")).unwrap();
    assert_eq!(one.names(), ["f"]);
    assert_eq!(std::fs::read_to_string(two.0.join("f")).unwrap(), "old");
    assert_eq!(tree(&snapshots.layer(&top).unwrap().path), before);
}

fn views_cannot_be_written_to(driver: Driver) {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), driver);
    let top = unpack(&snapshots, &[vec![file("f", "")]]);
    let view = snapshots.view("v", Some(&top)).unwrap();
    assert_eq!(view.layout().unwrap().upper, None);
    let mounted = Mounted::new(&snapshots, "v");
    let error = std::fs::write(mounted.0.join("f"), "x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
}

fn nothing_at_all_can_be_prepared(driver: Driver) {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), driver);
    snapshots.prepare("c", None).unwrap();
    let mounted = Mounted::new(&snapshots, "c");
    assert_eq!(mounted.names(), [""; 0]);
    std::fs::write(mounted.0.join("f"), "x").unwrap();
}

fn what_is_in_use_stays(driver: Driver) {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), driver);
    let top = unpack(&snapshots, &[vec![file("a", "")], vec![file("b", "")]]);
    snapshots.prepare("c", Some(&top)).unwrap();
    assert_eq!(snapshots.collect(&HashSet::new()).unwrap(), []);
    let mounted = Mounted::new(&snapshots, "c");
    assert!(matches!(snapshots.remove("c"), Err(SnapshotError::InUse { .. })));
    drop(mounted);
    assert!(matches!(snapshots.prepare("c", None), Err(SnapshotError::Exists(_))));
    snapshots.remove("c").unwrap();
    assert!(matches!(snapshots.remove("c"), Err(SnapshotError::NoSnapshot(_))));
    assert_eq!(snapshots.collect(&HashSet::from([top])).unwrap(), []);
    assert_eq!(snapshots.collect(&HashSet::new()).unwrap().len(), 2);
    assert!(matches!(snapshots.prepare("d", Some(&top)), Err(SnapshotError::NoLayer(_))));
    for name in ["layers", "snapshots", "stage", "trash"] {
        assert_eq!(std::fs::read_dir(temp.path().join(name)).unwrap().count(), 0, "{name}");
    }
}

fn init_files_lie_over_the_image(driver: Driver) {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), driver);
    let top = unpack(&snapshots, &[vec![file("hosts", "image")]]);
    let snapshot = snapshots.prepare("c", Some(&top)).unwrap();
    std::fs::write(snapshot.init().join("hosts"), "engine").unwrap();
    let mounted = Mounted::new(&snapshots, "c");
    assert_eq!(std::fs::read_to_string(mounted.0.join("hosts")).unwrap(), "engine");
    let layout = snapshot.layout().unwrap();
    assert_eq!((layout.lower.len(), layout.lower[0].ends_with("init")), (2, true));
    assert!(layout.upper.is_some() && layout.work.is_some());
}

fn keys_are_checked(driver: Driver) {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), driver);
    for bad in ["", ".", "..", "a/b", "../x", "-x", "a b", &"x".repeat(201)] {
        assert!(matches!(snapshots.prepare(bad, None), Err(SnapshotError::Key(_))), "{bad:?}");
        assert!(matches!(snapshots.remove(bad), Err(SnapshotError::Key(_))), "{bad:?}");
    }
}

#[test]
fn three_hundred_layers_are_one_mount() {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), Driver::Overlay);
    let layers: Vec<_> = (0..300).map(|number| vec![file(format!("f{number}"), "x")]).collect();
    let top = unpack(&snapshots, &layers);
    let snapshot = snapshots.prepare("c", Some(&top)).unwrap();
    match snapshot.mount(None) {
        Err(SnapshotError::TooManyLayers(301)) => assert!(kernel() < (6, 8), "{:?}", kernel()),
        _ => assert_eq!(Mounted::new(&snapshots, "c").names().len(), 300),
    }
}

/// The kernel's version.
fn kernel() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn sixty_layers_are_one_mount_on_any_kernel() {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), Driver::Overlay);
    let layers: Vec<_> = (0..60).map(|number| vec![file(format!("f{number}"), "x")]).collect();
    let top = unpack(&snapshots, &layers);
    snapshots.prepare("c", Some(&top)).unwrap();
    assert_eq!(Mounted::new(&snapshots, "c").names().len(), 60);
}

#[test]
fn the_driver_is_what_the_host_can() {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(temp.path()).unwrap();
    assert_eq!(snapshots.driver(), Driver::Overlay);
    assert_eq!(std::fs::read_dir(temp.path().join("stage")).unwrap().count(), 0);
    snapshots.prepare("c", None).unwrap();
    let outer = Mounted::new(&snapshots, "c");
    // Overlay can't keep its changes on overlay.
    let root = outer.0.join("berth");
    let inner = Snapshots::open(&root).unwrap();
    assert_eq!(inner.driver(), Driver::Copy);
    let top = unpack(&inner, &[vec![file("f", "x")]]);
    inner.prepare("d", Some(&top)).unwrap();
    assert_eq!(Mounted::new(&inner, "d").names(), ["f"]);
    // Found out once.
    assert_eq!(std::fs::read_to_string(root.join("driver")).unwrap(), "copy\n");
    std::fs::write(root.join("driver"), "overlay\n").unwrap();
    assert_eq!(Snapshots::open(&root).unwrap().driver(), Driver::Overlay);
    std::fs::write(root.join("driver"), "btrfs\n").unwrap();
    assert!(chain(&Snapshots::open(&root).unwrap_err()).contains("btrfs"));
}

#[test]
fn layers_applied_ahead_only_get_their_names() {
    let root = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open_with(root.path(), Driver::Overlay).unwrap();
    let options = snapshots.unpack_options();
    let archives =
        [layer(&[file("a", "1"), dir("d")]), layer(&[file("d/b", "2")]), layer(&[file("unused", "")])];
    let mut ahead = HashMap::new();
    for (at, archive) in archives.iter().enumerate() {
        let proved = (at == 0).then(|| Digest::sha256(archive));
        let applied = snapshots.apply_ahead(archive.as_slice(), proved, &options).unwrap();
        ahead.insert(*applied.diff_id(), applied);
    }
    assert!(snapshots.apply_ahead(&archives[0][..700], None, &options).is_err());
    let sources = archives[..2].iter().map(|archive| LayerSource {
        diff_id: Digest::sha256(archive),
        open: Box::new(|| panic!("what was applied is not opened")),
    });
    let top = snapshots.unpack_with(sources.collect(), &mut ahead, &options, &mut |_| {}).unwrap();
    let snapshot = snapshots.prepare("box", top.as_ref()).unwrap();
    assert_eq!(snapshot.layout().unwrap().lower.len(), 3);
    drop(ahead);
    assert_eq!(std::fs::read_dir(root.path().join("stage")).unwrap().count(), 0);
}

#[test]
fn a_wrong_diff_id_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), Driver::Overlay);
    let good = layer(&[file("f", "")]);
    let wrong = vec![source(Digest::sha256(&good), &good), source(Digest::sha256(b"other"), &good)];
    let error = snapshots.unpack(wrong, &snapshots.unpack_options(), &mut |_| {}).unwrap_err();
    assert!(chain(&error).contains("DiffID"), "{}", chain(&error));
    let chain_ids = chain_ids(&[Digest::sha256(&good), Digest::sha256(b"other")]);
    assert!(snapshots.has_layer(&chain_ids[0]).unwrap() && !snapshots.has_layer(&chain_ids[1]).unwrap());
    assert_eq!(std::fs::read_dir(temp.path().join("stage")).unwrap().count(), 0);
}

#[test]
fn compressed_layers_unpack_and_bombs_do_not() {
    use std::io::Write;
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), Driver::Overlay);
    let plain = layer(&[file("f", &"zero".repeat(1 << 20))]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let zstd = zstd::encode_all(&plain[..], 1).unwrap();
    // A skippable frame, as zstd:chunked puts its table of contents into.
    let chunked = [&zstd[..], &[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]].concat();
    for compressed in [gzip.finish().unwrap(), zstd, chunked] {
        let sources = || vec![source(Digest::sha256(&plain), &compressed)];
        let mut options = snapshots.unpack_options();
        options.max_bytes = Some(1 << 20);
        let error = snapshots.unpack(sources(), &options, &mut |_| {}).unwrap_err();
        assert!(chain(&error).contains("more than 1048576 bytes"), "{}", chain(&error));
        let cut = vec![source(Digest::sha256(&plain), &compressed[..compressed.len() / 2])];
        assert!(snapshots.unpack(cut, &snapshots.unpack_options(), &mut |_| {}).is_err());
        snapshots.unpack(sources(), &snapshots.unpack_options(), &mut |_| {}).unwrap();
        assert_eq!(snapshots.collect(&HashSet::new()).unwrap().len(), 1);
    }
}

#[test]
fn a_failing_download_is_the_error() {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), Driver::Overlay);
    let failing = LayerSource {
        diff_id: Digest::sha256(b"x"),
        open: Box::new(|| Err(std::io::Error::other("the registry is gone"))),
    };
    let error = snapshots.unpack(vec![failing], &snapshots.unpack_options(), &mut |_| {}).unwrap_err();
    assert!(chain(&error).contains("the registry is gone"), "{}", chain(&error));
}

fn committed_changes_are_the_same_layer_again(driver: Driver) {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), driver);
    let base = vec![
        dir("d"),
        file("d/gone", ""),
        file("d/kept", "k"),
        file("changed", "1"),
        dir("replaced"),
        file("replaced/x", ""),
        dir("emptied"),
        file("emptied/y", ""),
        symlink("l", "d"),
        hard("changed2", "changed"),
        file("mode", ""),
    ];
    let top = unpack(&snapshots, &[base]);
    snapshots.prepare("c", Some(&top)).unwrap();
    let mounted = Mounted::new(&snapshots, "c");
    let at = |path: &str| mounted.0.join(path);
    std::fs::remove_file(at("d/gone")).unwrap();
    std::fs::write(at("changed"), "two").unwrap();
    std::fs::remove_dir_all(at("replaced")).unwrap();
    std::fs::write(at("replaced"), "now a file").unwrap();
    std::fs::remove_dir_all(at("emptied")).unwrap();
    std::fs::create_dir(at("emptied")).unwrap();
    std::fs::write(at("new"), "n").unwrap();
    std::fs::hard_link(at("new"), at("new2")).unwrap();
    std::os::unix::fs::symlink("new", at("l2")).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(at("mode"), std::fs::Permissions::from_mode(0o4711)).unwrap();
    std::fs::File::create(at("sparse")).unwrap().set_len(1 << 26).unwrap();

    let mut archive = Vec::new();
    let layer = snapshots.commit("c", &mut archive).unwrap();
    assert_eq!(layer.diff_id, Digest::sha256(&archive));
    assert!(archive.len() < 1 << 20, "holes were stored: {} bytes", archive.len());
    assert!(!String::from_utf8_lossy(&archive).contains("d/kept"), "what did not change is in the layer");
    let mut again = Vec::new();
    snapshots.snapshot("c").unwrap().diff(&mut again).unwrap();
    assert!(archive == again, "two archives of the same changes differ");
    snapshots.view("v", Some(&layer.chain_id)).unwrap();
    let view = Mounted::new(&snapshots, "v");
    let (mut shown, mut expected) = (tree(&view.0), tree(&mounted.0));
    // The root is not in the layer.
    shown.remove(Path::new(""));
    expected.remove(Path::new(""));
    assert_eq!(shown, expected);
}

fn usage_is_what_du_says(driver: Driver) {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), driver);
    let big = "x".repeat(3 << 20);
    let top = unpack(&snapshots, &[vec![dir("d"), file("d/a", &big), hard("b", "d/a"), file("c", "1")]]);
    snapshots.prepare("c", Some(&top)).unwrap();
    let output = std::process::Command::new("du").args(["-s", "-B1"]).arg(temp.path()).output().unwrap();
    let du: u64 =
        String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let usage = snapshots.usage().unwrap();
    assert!(usage.bytes.abs_diff(du) * 100 <= du, "{} and {du}", usage.bytes);
    let layer = snapshots.layer_usage(&snapshots.layer(&top).unwrap()).unwrap();
    assert_eq!(layer.inodes, 4);
    let written = snapshots.snapshot("c").unwrap().usage().unwrap();
    assert_eq!(written.inodes, if driver == Driver::Overlay { 1 } else { 4 });
}

fn id_mapped_files_belong_to_the_namespace(driver: Driver) {
    use std::os::unix::fs::MetadataExt;
    let temp = tempfile::tempdir().unwrap();
    let snapshots = open(temp.path(), driver);
    let mut users = file("users", "");
    (users.entry.uid, users.entry.gid) = (1000, 1000);
    let top = unpack(&snapshots, &[vec![file("roots", "")], vec![users]]);
    let snapshot = snapshots.prepare("c", Some(&top)).unwrap();
    let namespace = UserNamespace::new();
    let mount =
        snapshot.mount(Some(namespace.fd.as_fd())).unwrap_or_else(|error| panic!("{}", chain(&error)));
    let owner = |path: &str| {
        let stat = rustix::fs::statat(&mount, path, rustix::fs::AtFlags::empty()).unwrap();
        (stat.st_uid, stat.st_gid)
    };
    assert_eq!((owner("roots"), owner("users")), ((100_000, 100_000), (101_000, 101_000)));
    rustix::fs::chownat(
        &mount,
        "roots",
        Some(rustix::fs::Uid::from_raw(100_005)),
        None,
        rustix::fs::AtFlags::empty(),
    )
    .unwrap();
    assert_eq!(
        std::fs::metadata(snapshot.path().join("fs/roots")).unwrap().uid(),
        5,
        "on disk ids are not shifted"
    );
}

/// A user namespace whose ids 0 to 65535 are 100000 to 165535 outside, held by a sleeping process.
struct UserNamespace {
    fd: std::fs::File,
    holder: std::process::Child,
}

impl UserNamespace {
    fn new() -> UserNamespace {
        let holder = std::process::Command::new("unshare").args(["--user", "sleep", "60"]).spawn().unwrap();
        let proc = PathBuf::from(format!("/proc/{}", holder.id()));
        let own = std::fs::read_link("/proc/self/ns/user").unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while std::fs::read_link(proc.join("ns/user")).is_ok_and(|other| other == own) {
            assert!(std::time::Instant::now() < deadline, "unshare made no user namespace");
            std::thread::yield_now();
        }
        for map in ["uid_map", "gid_map"] {
            std::fs::write(proc.join(map), "0 100000 65536").unwrap();
        }
        UserNamespace { fd: std::fs::File::open(proc.join("ns/user")).unwrap(), holder }
    }
}

impl Drop for UserNamespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
