//! The report over files that a container has.

use std::collections::BTreeMap;
use std::ffi::CStr;

use crate::report::{Address, System, report};

struct Files(BTreeMap<&'static str, &'static str>);

impl Files {
    fn copy<'b>(&self, path: &CStr, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let text = self.0.get(path.to_str().unwrap())?.as_bytes();
        let length = text.len().min(buffer.len());
        buffer[..length].copy_from_slice(&text[..length]);
        Some(&buffer[..length])
    }
}

impl System for Files {
    fn read<'b>(&self, path: &CStr, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        self.copy(path, buffer)
    }

    fn link<'b>(&self, path: &CStr, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        self.copy(path, buffer)
    }

    fn addresses(&self, visit: &mut dyn FnMut(Address<'_>)) {
        visit(Address { interface: "lo", address: [127, 0, 0, 1], prefix: 8 });
        visit(Address { interface: "eth0", address: [172, 17, 0, 2], prefix: 16 });
    }
}

fn container() -> Files {
    Files(BTreeMap::from([
        ("/proc/sys/kernel/hostname", "4f2a\n"),
        ("/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n"),
        ("/proc/sys/kernel/cap_last_cap", "40\n"),
        (
            "/proc/self/status",
            "Name:\thello\nPid:\t1\nUid:\t0\t0\t0\t0\nGid:\t5\t5\t5\t5\nCapEff:\t0000000000000021\n\
             CapBnd:\t0000020000000021\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n",
        ),
        ("/proc/self/ns/mnt", "mnt:[4026532100]"),
        ("/proc/self/ns/pid", "pid:[4026532101]"),
        ("/proc/self/ns/user", "user:[4026531837]"),
        ("/proc/self/uid_map", "         0     100000      65536\n     70000       1000          1\n"),
        ("/proc/self/gid_map", "         0          0 4294967295\n"),
        ("/proc/self/cgroup", "0::/\n"),
        ("/sys/fs/cgroup/memory.max", "536870912\n"),
        ("/sys/fs/cgroup/cpu.max", "150000 100000\n"),
        ("/sys/fs/cgroup/pids.max", "max\n"),
        (
            "/proc/self/mountinfo",
            "31 30 0:30 / / rw,relatime - overlay overlay rw,lowerdir+=/l/init,lowerdir+=/l/base,upperdir=/u,workdir=/w\n\
             32 31 0:31 / /proc rw,nosuid,nodev,noexec - proc proc rw\n",
        ),
        ("/proc/net/if_inet6", "fe800000000000000042acfffe110002 02 40 20 80     eth0\n"),
    ]))
}

fn printed(files: &Files) -> String {
    let mut text = String::new();
    report(files, &mut text).unwrap();
    text
}

#[test]
fn everything_is_told() {
    let text = printed(&container());
    for line in [
        "process       pid 1, uid 0, gid 5, on host 4f2a\n",
        "namespaces    mnt     4026532100  (this kernel does not tell the host's)\n",
        "              pid     4026532101  its own (the host's is 4026531836)\n",
        "              user    4026531837  the host's\n",
        "uid map       0 to 65535 are 100000 to 165535 outside\n              70000 is 1000 outside\n",
        "gid map       none: 0 in here is 0 outside\n",
        "capabilities  2 of 41\n              chown kill\n",
        "  could gain  1\n              41\n",
        "seccomp       1 filter; new privileges by exec: never\n",
        "cgroup        /; memory 512 MiB; CPUs 1.50; processes unlimited\n",
        "root          overlay, writable\n              layer    /l/init\n              layer    /l/base\n              changes  /u\n",
        "mounts        /proc  proc  rw,nosuid,nodev,noexec\n",
        "addresses     lo 127.0.0.1/8, eth0 172.17.0.2/16, eth0 fe80::42:acff:fe11:2/64\n",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
}

#[test]
fn cgroups_of_version_1_and_new_kernels() {
    let mut files = container();
    files.0.insert("/proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/box\n0::/\n");
    files.0.remove("/sys/fs/cgroup/memory.max");
    files.0.remove("/sys/fs/cgroup/cpu.max");
    files.0.insert("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    files.0.insert("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    files.0.insert("/proc/sys/kernel/osrelease", "6.18.1\n");
    let text = printed(&files);
    assert!(
        text.contains("cgroup        /box (version 1); memory unlimited; CPUs unlimited; processes"),
        "{text}"
    );
    assert!(text.contains("mnt     4026532100  its own (the host's is 4026531832)\n"), "{text}");
}

#[test]
fn nothing_to_read_is_no_mistake() {
    let text = printed(&Files(BTreeMap::new()));
    assert!(text.contains("capabilities  0 of 41\n"), "{text}");
}

#[test]
fn capabilities_are_called_what_they_are_called_elsewhere() {
    let names: Vec<String> = capability::Capability::ALL
        .iter()
        .map(|capability| capability.name().unwrap().trim_start_matches("CAP_").to_lowercase())
        .collect();
    assert_eq!(names, crate::report::CAPABILITIES);
}

#[test]
fn the_program_is_small_and_runs_without_anything() {
    use std::os::unix::fs::PermissionsExt;
    assert!(
        crate::PROGRAM.starts_with(b"\x7fELF") && crate::PROGRAM.len() < 100 << 10,
        "{}",
        crate::PROGRAM.len()
    );
    let path = std::env::temp_dir().join(format!("berth-hello-{}", std::process::id()));
    std::fs::write(&path, crate::PROGRAM).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = std::process::Command::new(&path).env_clear().output();
    std::fs::remove_file(&path).unwrap();
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("addresses"), "{text}");
}
