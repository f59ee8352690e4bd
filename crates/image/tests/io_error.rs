//! A disk that fails: a clear error, and a store that works again when the disk does.
//!
//! The disk is a loop device that shrinks under a mounted file system: what lies beyond its end gives EIO.

mod support;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use image::Images;
use support::{load, path_text, tar, told};
use testkit::Testbed;

const WHOLE: u64 = 32 << 20;
/// Superblock, group descriptors, bitmaps and inodes are in front of it.
const KEPT: u64 = 6 << 20;

struct Disk {
    file: PathBuf,
    mounted: PathBuf,
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Disk {
    fn new(bed: &Testbed) -> Disk {
        let disk = Disk { file: bed.path().join("disk"), mounted: bed.path().join("mounted") };
        File::create(&disk.file).unwrap().set_len(WHOLE).unwrap();
        std::fs::create_dir(&disk.mounted).unwrap();
        // All metadata is written now and lies in front, so that only content is lost.
        let options =
            ["-q", "-F", "-O", "^has_journal,flex_bg", "-G", "16", "-E", "lazy_itable_init=0", "-N", "2000"];
        run("mkfs.ext4", &[&options[..], &[path_text(&disk.file)]].concat());
        disk.mount();
        disk
    }

    fn mount(&self) {
        run("mount", &["-o", "loop,errors=continue", path_text(&self.file), path_text(&self.mounted)]);
    }

    /// Takes the device's end away, and gives what was there.
    fn shrink(&self) -> Vec<u8> {
        let mut file = self.open();
        let mut end = Vec::new();
        file.seek(SeekFrom::Start(KEPT)).unwrap();
        file.read_to_end(&mut end).unwrap();
        file.set_len(KEPT).unwrap();
        self.tell_the_kernel();
        end
    }

    fn heal(&self, end: &[u8]) {
        let mut file = self.open();
        file.seek(SeekFrom::Start(KEPT)).unwrap();
        file.write_all(end).unwrap();
        self.tell_the_kernel();
    }

    fn open(&self) -> File {
        File::options().read(true).write(true).open(&self.file).unwrap()
    }

    fn tell_the_kernel(&self) {
        let device = run("findmnt", &["-no", "SOURCE", path_text(&self.mounted)]);
        run("losetup", &["--set-capacity", device.trim()]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy", path_text(&self.mounted)]).output();
    }
}

fn noise(seed: u32, size: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

fn small(root: &Path) -> Images {
    let images = Images::open(root).unwrap();
    load(&images, "small:1", &[tar(&[("file", &noise(1, 100_000))])]);
    images
}

#[test]
fn a_failing_disk_is_told_and_survived() {
    let bed = Testbed::new();
    let disk = Disk::new(&bed);
    let root = disk.mounted.join("root");
    let images = small(&root);
    run("sync", &["-f", path_text(&disk.mounted)]);
    let end = disk.shrink();
    let archive = support::docker_archive("large:1", &[tar(&[("file", &noise(2, 8 << 20))])]);
    let error = images.load("test", archive.as_slice()).unwrap_err();
    assert!(told(&error).contains("Input/output error"), "{}", told(&error));
    assert!(
        images.find("large:1", &[support::reference("large:1")]).is_err(),
        "what was not stored has no name"
    );

    drop(images);
    disk.heal(&end);
    run("umount", &[path_text(&disk.mounted)]);
    disk.mount();
    let images = Images::open(&root).unwrap();
    images.gc(Default::default()).unwrap();
    let report = images.fsck(true).unwrap();
    assert!(report.is_clean(), "{report:?}");
    support::find(&images, "small:1");
    load(&images, "large:1", &[tar(&[("file", &noise(2, 8 << 20))])]);
    assert!(images.fsck(true).unwrap().is_clean());
}
