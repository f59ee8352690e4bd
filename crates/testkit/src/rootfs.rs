//! A root file system for containers, made of the host's static busybox.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

const BUSYBOX: &str = "/bin/busybox";

const DIRECTORIES: &[&str] =
    &["bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr", "var"];

const FILES: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\n\
         user:x:1000:1000::/home:/bin/sh\n\
         nobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("etc/group", "root:x:0:\nuser:x:1000:\nstaff:x:50:user\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n"),
];

/// Fills the new directory `root`. busybox is copied: a container that writes to a hard link would write
/// to the host's.
pub(crate) fn create(root: &Path) {
    for dir in DIRECTORIES {
        fs::create_dir_all(root.join(dir)).expect("create a directory of the root file system");
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("chmod tmp");
    for (path, text) in FILES {
        fs::write(root.join(path), text).expect("write a file of the root file system");
    }
    fs::copy(BUSYBOX, root.join("bin/busybox"))
        .unwrap_or_else(|error| panic!("copy {BUSYBOX} (Debian package busybox-static): {error}"));
    for applet in applets().iter().filter(|applet| *applet != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).expect("link an applet");
    }
}

fn applets() -> &'static [String] {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    APPLETS.get_or_init(|| {
        let list = Command::new(BUSYBOX).arg("--list").output().expect("busybox --list");
        String::from_utf8_lossy(&list.stdout).lines().map(str::to_owned).collect()
    })
}
