//! Descriptors of the runtime's, and where they lead.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use testkit::{Bundle, Finished, Testbed};

use crate::run;

/// Numbers that a descriptor of the runtime's may have.
const NUMBERS: std::ops::Range<u32> = 3..24;

/// From whatever directory up to the root, and down to a place of the host's.
fn escape(number: u32, place: &Path) -> String {
    format!("/proc/self/fd/{number}/../../../../../../../..{}", place.display())
}

/// A program that only the host has. It says what a container must never hear.
fn host_program(bed: &Testbed) -> std::path::PathBuf {
    let path = bed.path().join("busybox");
    fs::copy("/bin/busybox", &path).unwrap();
    path
}

fn assert_contained(what: &str, finished: &Finished) {
    let said = finished.stdout() + &finished.stderr();
    assert!(!said.contains("escaped"), "{what}: {said}");
    assert!(!finished.status.success(), "{what}: was not refused: {said}");
}

/// Defence: descriptors are close-on-exec from birth, and what is not ours is closed before the exec. $$ is the shell
/// that is the program, so ls shows no descriptor of its own.
#[test]
fn cve_2024_21626_the_program_has_no_descriptor_but_its_own() {
    let bed = Testbed::new();
    // A careless caller's.
    let leak = rustix::fs::open("/", OFlags::DIRECTORY, Mode::empty()).unwrap();
    let mut bundle = bed.bundle();
    bundle.script("ls /proc/$$/fd; sleep 1000 < /dev/null > /dev/null 2>&1 & wait");
    let runtime = bed.runtime();
    let id = bed.id();
    runtime.command(["create", "--bundle", bundle.arg(), &id]).output().expect_success();
    let start = runtime.command(["start", &id]).output().expect_success();
    let exec = runtime.command(["exec", &id, "sh", "-c", "ls /proc/$$/fd; :"]).output().expect_success();
    assert_eq!(exec.stdout(), "0\n1\n2\n");
    runtime.command(["delete", "--force", &id]).output().expect_success();
    drop((leak, start));

    bundle.script("ls /proc/$$/fd; :");
    assert_eq!(run(&bed, &bundle).expect_success().stdout(), "0\n1\n2\n");
}

/// Defence: the directory is made where it is missing, by a walk that follows no magic links; and when it was entered,
/// `enter_working_directory` asks the kernel whether it is below the container's root.
#[test]
fn cve_2024_21626_the_working_directory_is_a_descriptor() {
    let bed = Testbed::new();
    let secret = bed.path().join("secret");
    fs::write(&secret, "escaped").unwrap();
    let up = format!("../../../../../../../..{}", secret.display());
    let mut bundle = bed.bundle();
    for number in NUMBERS {
        bundle.edit(|spec| {
            spec["process"]["cwd"] = format!("/proc/self/fd/{number}").into();
            spec["process"]["args"] = serde_json::json!(["cat", up]);
        });
        assert_contained(&format!("run, descriptor {number}"), &run(&bed, &bundle));
    }
}

/// Defence: for exec, the second of these.
#[test]
fn cve_2024_21626_the_working_directory_of_exec_is_a_descriptor() {
    let bed = Testbed::new();
    let secret = bed.path().join("secret");
    fs::write(&secret, "escaped").unwrap();
    let up = format!("../../../../../../../..{}", secret.display());
    let mut bundle = bed.bundle();
    bundle.script("exec sleep 1000");
    let runtime = bed.runtime();
    let id = bed.id();
    runtime.command(["run", "--detach", "--bundle", bundle.arg(), &id]).output().expect_success();
    for number in NUMBERS {
        let cwd = format!("/proc/self/fd/{number}");
        let exec = runtime.command(["exec", "--cwd", &cwd, &id, "cat", &up]).output();
        assert_contained(&format!("exec, descriptor {number}"), &exec);
    }
    runtime.command(["delete", "--force", &id]).output().expect_success();
}

/// Runs with each number a program that would be the host's if the descriptor led to a directory of the host's.
fn try_programs(bed: &Testbed, bundle: &mut Bundle, prepare: impl Fn(&mut Bundle, &str)) {
    let program = host_program(bed);
    for number in NUMBERS {
        prepare(bundle, &escape(number, &program));
        assert_contained(&format!("descriptor {number}"), &run(bed, bundle));
    }
}

/// Defence: before the exec all descriptors are closed but the one for the report. Close-on-exec is too late: the
/// kernel walks to the program first.
#[test]
fn cve_2024_21626_the_program_is_reached_by_a_descriptor() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    try_programs(&bed, &mut bundle, |bundle, path| {
        bundle.edit(|spec| spec["process"]["args"] = serde_json::json!([path, "echo", "escaped"]));
    });
}

/// Defence: the same. Nobody wrote anything odd into the configuration here: it is all in the image.
#[test]
fn cve_2024_21626_a_link_of_the_image_leads_to_a_descriptor() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.edit(|spec| spec["process"]["args"] = serde_json::json!(["/busybox", "echo", "escaped"]));
    try_programs(&bed, &mut bundle, |bundle, path| {
        let link = bundle.rootfs().join("busybox");
        drop(fs::remove_file(&link));
        symlink(path, &link).unwrap();
    });
}

/// Defence: the same.
#[test]
fn cve_2024_21626_a_script_of_the_image_names_a_descriptor_as_its_interpreter() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.edit(|spec| spec["process"]["args"] = serde_json::json!(["/script"]));
    // The interpreter gets the script's path as its argument, and so would tell what is in it.
    try_programs(&bed, &mut bundle, |bundle, path| {
        let script = bundle.rootfs().join("script");
        fs::write(&script, format!("#!{path} cat\nescaped\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    });
}

/// Defence: the same, before the hooks that run in the container.
#[test]
fn cve_2024_21626_a_hook_in_the_container_is_a_link_to_a_descriptor() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    let told = bed.path().join("told");
    File::create(&told).unwrap();
    bundle.edit(|spec| {
        spec["hooks"] =
            serde_json::json!({"startContainer": [{"path": "/busybox", "args": ["echo", "escaped"]}]});
    });
    try_programs(&bed, &mut bundle, |bundle, path| {
        let link = bundle.rootfs().join("busybox");
        drop(fs::remove_file(&link));
        symlink(path, &link).unwrap();
    });
}
