//! The size of a volume, where the file system has project quotas.

use std::fs;
use std::path::PathBuf;

use testkit::{Invocation, Testbed, berth_binary};

/// An ext4 on a loop device, with quotas in force; unmounted when dropped.
struct Disk<'bed> {
    bed: &'bed Testbed,
    mounted: PathBuf,
}

impl<'bed> Disk<'bed> {
    fn new(bed: &'bed Testbed) -> Self {
        let disk = Disk { bed, mounted: bed.path().join("mounted") };
        let image = bed.path().join("disk");
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        fs::create_dir(&disk.mounted).unwrap();
        let made = Invocation::new(bed, "/sbin/mkfs.ext4").args(["-q", "-F", "-O", "quota,project"]);
        made.arg(&image).output().expect_success();
        let mount = Invocation::new(bed, "mount").args(["-o", "loop,prjquota"]);
        mount.arg(&image).arg(&disk.mounted).output().expect_success();
        disk
    }

    fn berth(&self, args: &[&str]) -> Invocation {
        Invocation::new(self.bed, berth_binary()).arg("--root").arg(&self.mounted).args(args)
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        Invocation::new(self.bed, "umount").arg(&self.mounted).output().expect_success();
    }
}

#[test]
#[ignore = "needs the VM: quotas in the kernel"]
fn a_volume_holds_what_its_size_says() {
    let bed = Testbed::new();
    let disk = Disk::new(&bed);
    disk.berth(&["volume", "create", "-o", "size=1m", "small"]).output().expect_success();
    disk.berth(&["volume", "create", "free"]).output().expect_success();
    let archive = bed.path().join("busybox.tar");
    let packed = Invocation::new(&bed, "tar").arg("-C").arg(bed.bundle().rootfs()).arg("-cf").arg(&archive);
    packed.arg(".").output().expect_success();
    disk.berth(&["import", archive.to_str().unwrap(), "busybox"]).output().expect_success();
    let write = |script: &str| {
        let run = disk.berth(&["run", "--rm", "--network", "none", "-v", "small:/small", "-v", "free:/free"]);
        run.args(["busybox", "sh", "-c", script]).output()
    };
    write("head -c 3000000 /dev/zero >/small/large").expect_code(1);
    let written = fs::metadata(disk.mounted.join("volumes/small/_data/large")).unwrap().len();
    assert!((500_000..=1 << 20).contains(&written), "{written}");
    // What is below counts, too, and what is removed does no more.
    let script = "rm /small/large; mkdir /small/below; head -c 700000 /dev/zero >/small/below/file; \
                  head -c 3000000 /dev/zero >/free/large";
    write(script).expect_success();
    write("head -c 700000 /dev/zero >/small/more").expect_code(1);
    let shown = disk.berth(&["volume", "inspect", "-f", "{{.Options.size}}", "small"]).output();
    assert_eq!(shown.expect_success().stdout(), "1m\n");
    let fd = fs::File::open(disk.mounted.join("volumes/small/_data")).unwrap();
    let project = sys::quota::project(&fd).unwrap();
    assert_eq!(sys::quota::usage(&fd, project).unwrap().limit, 1 << 20);
    drop(fd);
    disk.berth(&["volume", "rm", "small", "free"]).output().expect_success();
    let root = fs::File::open(&disk.mounted).unwrap();
    assert_eq!(sys::quota::usage(&root, project).unwrap(), sys::quota::Usage::default());
}
