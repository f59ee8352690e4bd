//! The runtime's binary, as a container sees it.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use testkit::{Testbed, berth_binary, eventually};

/// Length and time of the last change: another binary has another.
fn fingerprint(path: &Path) -> (u64, i64, i64) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

/// Defence: `leave_host_binary` executes the runtime from a read-only mount that is attached nowhere.
///
/// The handle is taken by root of the host, who may more than any container, and used when the runtime has gone from
/// its binary.
#[test]
fn cve_2019_5736_a_handle_on_the_runtime_never_becomes_writable() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.script("exec sleep 100");
    let id = bed.id();
    let runtime = bed.runtime();
    runtime.command(["create", "--bundle", bundle.arg(), &id]).output().expect_success();
    let state = runtime.command(["state", &id]).output().expect_success().stdout();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let exe = format!("/proc/{}/exe", state["pid"]);
    let handle = File::open(&exe).unwrap();
    runtime.command(["start", &id]).output().expect_success();
    eventually("the program's exec", || {
        fs::read_link(&exe).is_ok_and(|path| path.ends_with("busybox")).then_some(())
    });

    let before = fingerprint(&berth_binary());
    let again = format!("/proc/self/fd/{}", handle.as_raw_fd());
    // As long as other tests execute the binary, it is busy: that is luck, and no defence.
    let written = eventually("an answer that is no luck", || {
        let written = File::options().append(true).open(&again).and_then(|mut file| file.write(b"x"));
        let busy = written.as_ref().is_err_and(|error| error.kind() == ErrorKind::ExecutableFileBusy);
        (!busy).then_some(written)
    });
    runtime.command(["delete", "--force", &id]).output().expect_success();
    assert!(written.is_err(), "the handle could be written");
    assert_eq!(fingerprint(&berth_binary()), before);
}

/// Defence: the same. This is the published attack: the image's shell is a script that has the runtime interpret it,
/// and a process of the container waits for it to take a handle.
#[test]
fn cve_2019_5736_a_script_that_the_runtime_interprets() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    let script = bundle.rootfs().join("trap");
    fs::write(&script, "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    // Appends only: where the attack works, the binary must live to tell. Again and again, for it may be busy.
    bundle.script(
        "echo ready > /log
        while :; do for p in /proc/[0-9]*; do
            if [ -e $p/exe ] && ! [ $p/exe -ef /bin/busybox ]; then {
                echo held >> /log
                while [ -d $p ]; do :; done
                for i in $(seq 200); do
                    if (echo x >> /proc/self/fd/3) 2> /dev/null; then echo written >> /log; break; fi
                done
                echo tried >> /log
            } 3< $p/exe || :; fi
        done; done",
    );
    let log = bundle.rootfs().join("log");
    let id = bed.id();
    let runtime = bed.runtime();
    let before = fingerprint(&berth_binary());
    runtime.command(["run", "--detach", "--bundle", bundle.arg(), &id]).output().expect_success();
    eventually("the attacker's start", || log.exists().then_some(()));
    eventually("the attacker's handle on the runtime", || {
        drop(runtime.command(["exec", &id, "/trap"]).output());
        fs::read_to_string(&log).unwrap().contains("held").then_some(())
    });
    eventually("the attacker's last try", || {
        fs::read_to_string(&log).unwrap().contains("tried").then_some(())
    });
    runtime.command(["delete", "--force", &id]).output().expect_success();
    let log = fs::read_to_string(&log).unwrap();
    assert!(!log.contains("written"), "{log}");
    assert_eq!(fingerprint(&berth_binary()), before);
}

/// The way out of the host's binary is taken before libc starts, and once: a second start of libc is half a millisecond
/// of every container's where `cpuid` traps.
#[cfg(target_arch = "x86_64")]
#[test]
fn cve_2019_5736_the_host_binary_is_left_before_libc_starts() {
    let bed = Testbed::new();
    let calls = bed.path().join("calls");
    let strace = Command::new("strace")
        .args(["-o", calls.to_str().unwrap(), "-e", "trace=execve,execveat,arch_prctl"])
        .arg(berth_binary())
        .args(["oci", "--root", bed.state_dir().to_str().unwrap(), "exec", &bed.id(), "true"])
        .output()
        .unwrap();
    assert_eq!(strace.status.code(), Some(255), "there is no such container");
    let calls = fs::read_to_string(&calls).unwrap();
    let names: Vec<&str> =
        calls.lines().filter_map(|line| line.split_once('(')).map(|(name, _)| name).collect();
    // libc's first call sets up thread-local storage.
    assert_eq!(names, ["execve", "execveat", "arch_prctl"], "{calls}");
}
