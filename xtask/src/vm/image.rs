//! The machine's disk: a minimal Debian with the cloud kernel, systemd, D-Bus and AppArmor.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, Context, Failure, Outcome};

const SUITE: &str = "bookworm";

const PACKAGES: &[&str] = &[
    "apparmor",
    "busybox-static",
    "crun",
    "dbus",
    "dbus-user-session",
    "initramfs-tools",
    "iproute2",
    "jq",
    "kmod",
    "libpam-systemd",
    "linux-image-cloud-amd64",
    "lz4",
    "passt",
    "procps",
    "runc",
    "strace",
    "systemd",
    "systemd-sysv",
    "udev",
    "uidmap",
];

/// Modules that the initramfs loads to find the root disk.
const BOOT_MODULES: &str = "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n";

/// Files of the image, written before its kernel is installed.
const FILES: &[(&str, &str)] = &[
    ("etc/initramfs-tools/conf.d/vm", include_str!("guest/initramfs.conf")),
    ("usr/share/initramfs-tools/modules.d/vm", BOOT_MODULES),
    ("etc/systemd/system/berth-tests.service", include_str!("guest/berth-tests.service")),
    ("etc/systemd/system/user@.service.d/delegate.conf", include_str!("guest/delegate.conf")),
    ("etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf", include_str!("guest/autologin.conf")),
];

const CUSTOMIZE: &str = include_str!("guest/customize");

/// Room on the root disk, for what tests write.
const DISK_SIZE: &str = "1500M";

/// A disk and what boots it.
#[derive(Debug)]
pub struct Image {
    /// The directory that holds the three.
    dir: PathBuf,
}

impl Image {
    /// The root file system; never written to.
    pub fn disk(&self) -> PathBuf {
        self.dir.join("root.ext4")
    }

    /// The kernel.
    pub fn kernel(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    /// The initramfs.
    pub fn initramfs(&self) -> PathBuf {
        self.dir.join("initrd.img")
    }
}

/// The image of today's recipe, built if it isn't there. Takes about three minutes then.
pub fn prepare() -> Outcome<Image> {
    let dir = super::work_dir()?.join(format!("image-{:016x}", recipe()));
    if !dir.exists() {
        let new = dir.with_extension(format!("{}.new", std::process::id()));
        let built = build(&new).and_then(|()| fs::rename(&new, &dir).context("name the VM's image"));
        if built.is_err() {
            drop(fs::remove_dir_all(&new));
        }
        built?;
    }
    Ok(Image { dir })
}

/// A number that changes with everything an image is made of.
fn recipe() -> u64 {
    let mut hasher = DefaultHasher::new();
    (SUITE, PACKAGES, FILES, CUSTOMIZE, DISK_SIZE).hash(&mut hasher);
    hasher.finish()
}

fn build(dir: &Path) -> Outcome {
    let (extra, root) = (dir.join("extra"), dir.join("root"));
    for (path, text) in FILES {
        write(&extra.join(path), text)?;
    }
    let customize = dir.join("customize");
    write(&customize, CUSTOMIZE)?;
    process::run(Command::new("mmdebstrap").args(["--quiet", "--variant=minbase", "--mode=root"]).args([
        format!("--include={}", PACKAGES.join(",")),
        "--dpkgopt=path-exclude=/usr/share/doc/*".into(),
        "--dpkgopt=path-exclude=/usr/share/locale/*".into(),
        "--dpkgopt=path-exclude=/usr/share/man/*".into(),
        format!("--essential-hook=cp -R {}/. \"$1\"", extra.display()),
        format!("--customize-hook=sh {} \"$1\"", customize.display()),
        SUITE.into(),
        root.display().to_string(),
    ]))?;
    for name in ["vmlinuz", "initrd.img"] {
        fs::copy(boot_file(&root, name)?, dir.join(name)).context(format!("copy {name}"))?;
    }
    let disk = dir.join("root.ext4");
    make_disk(&root, &disk, DISK_SIZE)?;
    for scratch in [&root, &extra] {
        fs::remove_dir_all(scratch).context(format!("remove {}", scratch.display()))?;
    }
    Ok(())
}

/// An ext4 file system that holds what is in `source`, made without mounting anything.
pub fn make_disk(source: &Path, disk: &Path, size: &str) -> Outcome {
    let mut mke2fs = Command::new("mke2fs");
    // A journal would only cost time: the disk is thrown away.
    mke2fs.args(["-q", "-t", "ext4", "-O", "^has_journal", "-d"]).arg(source).arg(disk).arg(size);
    process::run(&mut mke2fs)
}

fn boot_file(root: &Path, stem: &str) -> Outcome<PathBuf> {
    let boot = fs::read_dir(root.join("boot")).context("list the image's /boot")?;
    let mut names = boot.flatten().map(|entry| entry.path());
    let is_wanted = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{stem}-")))
    };
    names.find(is_wanted).ok_or_else(|| Failure::new(format!("the image has no /boot/{stem}-…")))
}

fn write(path: &Path, text: &str) -> Outcome {
    let dir = path.parent().unwrap_or(path);
    fs::create_dir_all(dir).context(format!("create {}", dir.display()))?;
    fs::write(path, text).context(format!("write {}", path.display()))
}
