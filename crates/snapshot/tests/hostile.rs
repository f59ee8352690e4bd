//! Layers that mean harm. Each test applies them beside a canary that must survive; CVE numbers are those of
//! the tools that fell for it.

mod support;

use snapshot::layer::{ApplyOptions, Devices, LayerError};
use snapshot::tar::Segment;
use support::{Cage, Member, chain, device, dir, fifo, file, hard, layer, options, symlink};

fn refused(members: &[Member]) -> String {
    let Err(error) = Cage::new().apply(members) else { panic!("the layer was accepted") };
    assert!(matches!(error, LayerError::Refused { .. } | LayerError::Tar(_)), "{}", chain(&error));
    chain(&error)
}

#[test]
fn dot_dot_is_refused_wherever_it_stands() {
    for path in ["../outside/canary", "a/../../outside/canary", "/../outside/canary", "..", "a/.."] {
        assert!(refused(&[file(path, "dead")]).contains(".."));
        assert!(refused(&[dir(path)]).contains(".."));
    }
    refused(&[file("x", ""), hard("y", "../outside/canary")]);
}

#[test]
fn absolute_paths_mean_the_layers_root() {
    let cage = Cage::new();
    let canary = cage.directory.path().join("outside/canary");
    cage.apply(&[file("/etc/passwd", "root"), file(canary.to_str().unwrap(), "dead")]).unwrap();
    assert_eq!(cage.read("etc/passwd"), "root");
}

#[test]
fn symlinks_lead_nowhere_but_inside() {
    let absolute = Cage::new();
    let target = absolute.directory.path().join("outside");
    let error =
        absolute.apply(&[symlink("l", target.to_str().unwrap()), file("l/canary", "dead")]).unwrap_err();
    assert!(chain(&error).contains("symbolic link to nothing"), "{}", chain(&error));
    refused(&[symlink("l", "../outside"), file("l/canary", "dead")]);
    let cage = Cage::new();
    cage.apply(&[symlink("a", "b"), symlink("b", ".."), file("a/outside/canary", "inside")]).unwrap();
    assert_eq!(cage.read("outside/canary"), "inside", "above the root is the root");
    refused(&[symlink("l", "../outside"), dir("l/new")]);
    refused(&[symlink("l", "l"), file("l/x", "")]);
    refused(&[dir("d"), file("d/x", ""), symlink("d", "../outside"), file("d/canary", "dead")]);
}

#[test]
fn symlinks_that_stay_inside_work_as_in_a_chroot() {
    let cage = Cage::new();
    cage.apply(&[
        dir("usr"),
        dir("usr/lib"),
        symlink("lib", "/usr/lib"),
        file("lib/x", "1"),
        symlink("up", "../../usr"),
        file("up/y", "2"),
    ])
    .unwrap();
    assert_eq!((cage.read("usr/lib/x"), cage.read("usr/y")), ("1".into(), "2".into()));
}

#[test]
fn files_replace_links_instead_of_writing_through_them() {
    let cage = Cage::new();
    cage.apply(&[symlink("l", "../outside/canary"), file("l", "new")]).unwrap();
    assert_eq!(cage.read("l"), "new");
    let cage = Cage::new();
    cage.apply(&[symlink("s", "../outside/canary"), hard("h", "s"), file("h", "new")]).unwrap();
    assert_eq!(cage.read("h"), "new");
    let cage = Cage::new();
    cage.apply(&[file("a", "one"), hard("b", "a"), file("b", "two")]).unwrap();
    assert_eq!((cage.read("a"), cage.read("b")), ("one".into(), "two".into()));
}

#[test]
fn hard_links_reach_only_files_of_the_layer() {
    let cage = Cage::new();
    let canary = cage.directory.path().join("outside/canary");
    assert!(cage.apply(&[hard("h", canary.to_str().unwrap())]).is_err());
    refused(&[symlink("l", ".."), hard("h", "l/outside/canary")]);
    refused(&[symlink("l", "../outside"), hard("h", "l/canary")]);
    refused(&[hard("h", "missing")]);
    refused(&[dir("d"), hard("h", "d")]);
    refused(&[hard("h", "/")]);
    let cage = Cage::new();
    cage.apply(&[file("a", "kept"), hard("a", "a")]).unwrap();
    assert_eq!(cage.read("a"), "kept");
}

#[test]
fn whiteouts_hide_only_by_name_and_only_inside() {
    refused(&[symlink("l", "../outside"), file("l/.wh.canary", "")]);
    refused(&[symlink("l", "../outside"), file("l/.wh..wh..opq", "")]);
    for name in [".wh.", ".wh..", ".wh..."] {
        assert!(refused(&[file(name, "")]).contains("whiteout of no name"));
    }
    refused(&[file(".wh.x", ""), hard("h", "x")]);
    refused(&[file("x", ""), hard("h", ".wh.x")]);
    refused(&[device("x", 0, 0)]);
}

#[test]
fn what_a_layer_has_and_removes_stays_in_any_order() {
    for members in [[file("x", "1"), file(".wh.x", "")], [file(".wh.x", ""), file("x", "1")]] {
        let cage = Cage::new();
        cage.apply(&members).unwrap();
        assert_eq!(cage.read("x"), "1");
    }
    for members in [[dir("d"), file(".wh.d", "")], [file(".wh.d", ""), dir("d")]] {
        let cage = Cage::new();
        cage.apply(&members).unwrap();
        assert_eq!(
            support::xattrs(&cage.root().join("d")),
            [("trusted.overlay.opaque".into(), b"y".to_vec())]
        );
    }
}

#[test]
fn overlays_own_attributes_do_not_come_from_layers() {
    let mut evil = dir("d");
    for name in ["trusted.overlay.redirect", "trusted.overlay.opaque", "user.overlay.metacopy"] {
        evil.entry.xattrs.push((name.into(), b"/etc".to_vec()));
    }
    let cage = Cage::new();
    cage.apply(&[evil]).unwrap();
    assert_eq!(support::xattrs(&cage.root().join("d")), []);
}

#[test]
fn devices_are_made_skipped_or_refused_as_configured() {
    let cage = Cage::new();
    cage.apply(&[device("null", 1, 3), fifo("pipe")]).unwrap();
    let archive = layer(&[device("null", 1, 3), fifo("pipe"), file("f", "")]);
    let cage = Cage::new();
    let applied = cage.apply_bytes(&archive, &ApplyOptions { devices: Devices::Skip, ..options() }).unwrap();
    assert_eq!(applied.skipped, 1);
    assert!(cage.root().join("f").exists() && !cage.root().join("null").exists());
    let error = Cage::new()
        .apply_bytes(&archive, &ApplyOptions { devices: Devices::Refuse, ..options() })
        .unwrap_err();
    assert!(chain(&error).contains("it is a device"));
}

#[test]
fn nothing_is_written_over_a_mount() {
    let cage = Cage::new();
    let point = cage.root().join("mnt");
    std::fs::create_dir(&point).unwrap();
    let _mounted = Mounted::tmpfs(&point);
    let error = cage.apply(&[file("mnt/x", "")]).unwrap_err();
    assert!(chain(&error).contains("a file system is mounted there"), "{}", chain(&error));
    assert!(cage.apply(&[file("mnt", "")]).is_err());
    assert_eq!(std::fs::read_dir(&point).unwrap().count(), 0);
}

/// A tmpfs that goes with the test.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn tmpfs(at: &std::path::Path) -> Mounted {
        rustix::mount::mount("tmpfs", at, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
        Mounted(at.into())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn the_last_of_duplicates_counts() {
    let cage = Cage::new();
    cage.apply(&[
        file("x", "1"),
        file("x", "2"),
        dir("y"),
        file("y/z", ""),
        file("y", "file"),
        symlink("l", "x"),
        dir("l"),
        file("l/in", "3"),
    ])
    .unwrap();
    assert_eq!((cage.read("x"), cage.read("y"), cage.read("l/in")), ("2".into(), "file".into(), "3".into()));
    assert!(refused(&[file("f", ""), file("f/x", "")]).contains("made it a file"));
}

#[test]
fn directories_replaced_by_others_lose_what_was_in_them() {
    let cage = Cage::new();
    cage.apply(&[file("d/a", "old"), symlink("d", "e"), dir("e"), file("d/b", "new")]).unwrap();
    assert!(!cage.root().join("e/a").exists());
    assert_eq!(cage.read("e/b"), "new");
}

#[test]
fn sparse_files_are_bounded_and_stay_sparse() {
    use std::os::unix::fs::MetadataExt;
    let sparse = |size| {
        let mut member = file("s", "data");
        member.entry.size = size;
        member.entry.sparse = Some(vec![Segment { offset: 1 << 20, length: 4 }]);
        member
    };
    let cage = Cage::new();
    cage.apply(&[sparse(1 << 30)]).unwrap();
    let stat = std::fs::metadata(cage.root().join("s")).unwrap();
    assert_eq!(stat.len(), 1 << 30);
    assert!(stat.blocks() < 64, "{} blocks", stat.blocks());
    assert!(refused(&[sparse(1 << 60)]).contains("larger than a layer's file may be"));
    let mut lie = sparse(16);
    lie.entry.sparse = Some(vec![Segment { offset: 14, length: 4 }]);
    assert!(refused(&[lie]).contains("reaches beyond"));
}

#[test]
fn the_number_of_entries_is_bounded() {
    let archive = layer(&[file("a", ""), file("b", ""), file("c", "")]);
    let error = Cage::new().apply_bytes(&archive, &ApplyOptions { max_entries: 2, ..options() }).unwrap_err();
    assert!(matches!(error, LayerError::TooManyEntries { limit: 2 }));
}

#[test]
fn truncated_archives_are_errors_or_end_between_entries() {
    let archive = layer(&[file("a", &"x".repeat(3000)), file("b".repeat(150), "long"), symlink("l", "a")]);
    // Anywhere in the end mark is as good as at its start.
    for length in (0..archive.len() - 1024).step_by(128).flat_map(|at| [at, at + 1]) {
        match Cage::new().apply_bytes(&archive[..length], &options()) {
            Ok(_) => assert_eq!(length % 512, 0, "cut at {length} and accepted"),
            Err(error) => assert!(chain(&error).contains("truncated"), "{}", chain(&error)),
        }
    }
}

#[test]
fn garbage_is_refused() {
    for garbage in [&[0xffu8; 1024][..], &b"not a tar archive, not at all".repeat(40)] {
        assert!(Cage::new().apply_bytes(garbage, &options()).is_err());
    }
}

#[test]
fn names_of_any_bytes_and_lengths_are_kept() {
    use std::os::unix::ffi::OsStrExt;
    let odd = b"caf\xe9/\x01\x7f \n\xff";
    let cage = Cage::new();
    cage.apply(&[file(odd, "odd")]).unwrap();
    let path = cage.root().join(std::ffi::OsStr::from_bytes(odd));
    assert_eq!(std::fs::read(path).unwrap(), b"odd");
    let component = "x".repeat(255);
    let long = format!("{}/{}", vec![component.as_str(); 15].join("/"), "y".repeat(4095 - 15 * 256));
    assert_eq!(long.len(), 4095);
    cage.apply(&[file(&long, "long")]).unwrap();
    assert!(refused(&[file("a/".repeat(2049), "")]).contains("4095"));
    assert!(refused(&[file("x".repeat(256), "")]).contains("255"));
}

#[test]
fn depth_costs_no_descriptors() {
    let deep = vec!["d"; 255].join("/");
    let cage = Cage::new();
    cage.apply(&[dir(&deep), file(format!("{deep}/f"), "deep"), file(format!("{deep}/g"), "")]).unwrap();
    cage.apply(&[file("d", "gone")]).unwrap();
    assert_eq!(cage.read("d"), "gone");
    assert!(refused(&[dir(vec!["d"; 257].join("/"))]).contains("256 directories deep"));
}

#[test]
fn memory_for_directories_is_bounded() {
    let mut wide = dir("d");
    wide.entry.xattrs.push(("trusted.x".into(), vec![0; 1 << 17]));
    let deep = || file(format!("{}/f", vec!["d".repeat(15).as_str(); 255].join("/")), "");
    for members in [vec![wide, file("f", "")], vec![deep(), file("f", "")]] {
        let error =
            Cage::new().apply_bytes(&layer(&members), &ApplyOptions { max_memory: 1 << 17, ..options() });
        assert!(chain(&error.unwrap_err()).contains("too much memory"));
    }
}

#[test]
fn large_attributes_fit_or_are_named() {
    let cage = Cage::new();
    let _mounted = Mounted::tmpfs(&cage.root());
    let mut big = file("f", "");
    big.entry.xattrs.push(("trusted.big".into(), vec![b'v'; 65_000]));
    cage.apply(&[big]).unwrap();
    assert_eq!(support::xattrs(&cage.root().join("f"))[0].1.len(), 65_000);
    let mut huge = file("g", "");
    huge.entry.xattrs.push(("trusted.huge".into(), vec![b'v'; 70_000]));
    let error = cage.apply(&[huge]).unwrap_err();
    assert!(chain(&error).contains("extended attribute"), "{}", chain(&error));
}

#[test]
fn owners_are_numbers_and_minus_one_is_nobody() {
    let mut odd = file("f", "");
    odd.entry.uid = u32::MAX;
    assert!(refused(&[odd]).contains("nobody"));
}

/// Docker's `docker-tar` looked users up after it had entered the container's root, and loaded the library for
/// it from there. Nothing here asks for names: what a layer holds beside numbers is not read.
#[test]
fn cve_2019_14271_no_library_of_the_layer_is_loaded() {
    let cage = Cage::new();
    let mut archive =
        layer(&[file("lib/libnss_files.so.2", "evil"), file("etc/nsswitch.conf", "passwd: files")]);
    // The owner's name in the first header, with its checksum made right again.
    archive[265..269].copy_from_slice(b"evil");
    let sum: u32 =
        (0..512).map(|at| if (148..156).contains(&at) { 32 } else { u32::from(archive[at]) }).sum();
    archive[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    cage.apply_bytes(&archive, &options()).unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains("libnss"), "{maps}");
}

/// tokio-tar skipped by the ustar size what PAX said was larger, and took the content's headers for its own.
#[test]
fn cve_2025_62518_a_nested_archive_stays_content() {
    let inner = layer(&[file("smuggled", "evil")]);
    let mut outer = pax(&format!("size={}", inner.len()));
    outer.extend(with_size(plain_header("nested.tar"), 0));
    outer.extend(&inner);
    outer.extend([0; 1024]);
    let cage = Cage::new();
    cage.apply_bytes(&outer, &options()).unwrap();
    assert_eq!(std::fs::read(cage.root().join("nested.tar")).unwrap(), inner);
    assert!(!cage.root().join("smuggled").exists());
}

/// tar-rs ignored the PAX size when the ustar size was not zero.
#[test]
fn cve_2026_33055_the_pax_size_counts_beside_any_other() {
    let inner = layer(&[file("smuggled", "evil")]);
    let mut outer = pax(&format!("size={}", inner.len()));
    outer.extend(with_size(plain_header("nested.tar"), 512));
    outer.extend(&inner);
    outer.extend([0; 1024]);
    let cage = Cage::new();
    cage.apply_bytes(&outer, &options()).unwrap();
    assert!(cage.root().join("nested.tar").exists() && !cage.root().join("smuggled").exists());
}

/// tar-rs changed the mode of the directory that a symbolic link with the entry's name led to.
#[test]
fn cve_2026_33056_a_directory_over_a_link_does_not_reach_through_it() {
    let cage = Cage::new();
    let mut open = dir("l");
    open.entry.mode = 0o777;
    cage.apply(&[symlink("l", "../outside"), open]).unwrap();
    assert!(cage.root().join("l").symlink_metadata().unwrap().is_dir());
}

/// A ustar header that needs no PAX.
fn plain_header(name: &str) -> Vec<u8> {
    let mut member = file(name, "");
    member.entry.mtime.nanoseconds = 0;
    layer(&[member])[..512].to_vec()
}

/// A PAX header with one record.
fn pax(record: &str) -> Vec<u8> {
    let length = record.len() + 4;
    let record = format!("{length} {record}\n");
    assert_eq!(record.len(), length, "two digits are assumed");
    let mut long = layer(&[file("x".repeat(120), "")]);
    // The PAX header of a long name, with other content.
    long.truncate(1024);
    let mut header = with_size(long[..512].to_vec(), record.len());
    header.extend(record.as_bytes());
    header.resize(1024, 0);
    header
}

/// The header with another size and the right checksum.
fn with_size(mut header: Vec<u8>, size: usize) -> Vec<u8> {
    header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    let sum: u32 = (0..512).map(|at| if (148..156).contains(&at) { 32 } else { u32::from(header[at]) }).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// Who has no CAP_FSETID, as an ordinary user, loses the bits by writing the content after the file was made with them.
#[test]
fn set_id_bits_outlast_the_content() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    use std::os::unix::fs::MetadataExt;
    let cage = Cage::new();
    let mut program = file("program", "content");
    program.entry.mode = 0o6755;
    std::thread::scope(|scope| {
        let applied = scope.spawn(|| {
            let mut sets = capabilities(None).unwrap();
            sets.effective.remove(CapabilitySet::FSETID);
            set_capabilities(None, sets).unwrap();
            cage.apply(&[program])
        });
        applied.join().unwrap().unwrap();
    });
    assert_eq!(std::fs::metadata(cage.root().join("program")).unwrap().mode() & 0o7777, 0o6755);
}
