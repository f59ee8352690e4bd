//! What runs in the container: tries to get out, and prints a line for each attempt: name, barrier, outcome.
//!
//! Nothing is changed on a host that lets it through: files are opened, not written; calls are made without arguments.
//! What the host is like comes in `HOST_…` variables from `cargo xtask escapes`.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::{Pid, Resource, Rlimit, test_kill_process};
use sys::probe::Probe;
use sys::process::NamespaceFlags;

/// An attempt: its name, what should stop it, and how it is made: it got through if that is `Ok`.
type Attempt = (&'static str, &'static str, fn() -> io::Result<()>);

const ATTEMPTS: &[Attempt] = &[
    ("see a process of the host", "pid namespace", see_process),
    ("signal a process of the host", "pid namespace", signal_process),
    ("trace a process of the host", "pid namespace", || {
        sys::trace::seize(host_pid()?, sys::trace::Bond::LetGo)
    }),
    ("read the memory of a process of the host", "pid namespace", || {
        read(&format!("/proc/{}/mem", host("PID")))
    }),
    ("share the host's mount namespace", "mount namespace", || same_namespace("mnt")),
    ("share the host's pid namespace", "pid namespace", || same_namespace("pid")),
    ("share the host's network namespace", "network namespace", || same_namespace("net")),
    ("share the host's IPC namespace", "IPC namespace", || same_namespace("ipc")),
    ("share the host's UTS namespace", "UTS namespace", || same_namespace("uts")),
    ("connect to an abstract socket of the host", "network namespace", abstract_socket),
    ("connect to the host's loopback", "network namespace", loopback),
    ("read a file of the host by ..", "pivot_root", || read(&format!("/../../../..{}", host("SECRET")))),
    ("read a file of the host through /proc/1/root", "pid and mount namespace", through_init),
    ("leave the root by a second chroot", "pivot_root", second_chroot),
    ("use a descriptor of the host's", "descriptors are closed", leaked_descriptor),
    ("make a new user namespace", "seccomp", || sys::process::unshare(NamespaceFlags::USER)),
    ("make a new mount namespace", "seccomp, capabilities", || sys::process::unshare(NamespaceFlags::MOUNT)),
    ("enter a mount namespace", "seccomp, capabilities", enter_namespace),
    ("exchange the root", "seccomp, capabilities", exchange_root),
    ("mount a tmpfs", "seccomp, capabilities", || mount("tmpfs", "tmpfs")),
    ("mount another proc", "seccomp, capabilities", || mount("proc", "proc")),
    ("mount another sysfs", "seccomp, capabilities", || mount("sysfs", "sysfs")),
    ("mount the host's disk", "device cgroup, capabilities", mount_disk),
    ("mount a cgroup hierarchy", "seccomp, capabilities", || mount("cgroup2", "cgroup2")),
    ("unmask /proc/kcore", "seccomp, capabilities", || unmount("/proc/kcore")),
    ("unmount /proc/sys", "seccomp, capabilities", || unmount("/proc/sys")),
    ("open the host's disk", "device cgroup", || device(FileType::BlockDevice, &host("DISK"))),
    ("open /dev/mem", "device cgroup", || device(FileType::CharacterDevice, "1:1")),
    ("open /dev/kmsg", "device cgroup", || device(FileType::CharacterDevice, "1:11")),
    ("open /dev/kvm", "device cgroup", || device(FileType::CharacterDevice, "10:232")),
    ("open a FUSE device", "device cgroup", || device(FileType::CharacterDevice, "10:229")),
    ("set core_pattern", "read-only /proc/sys", || write("/proc/sys/kernel/core_pattern")),
    ("set the module loader's path", "read-only /proc/sys", || write("/proc/sys/kernel/modprobe")),
    ("set the hotplug helper", "read-only /sys", || write("/sys/kernel/uevent_helper")),
    ("register a binary format", "read-only /proc/sys", || write("/proc/sys/fs/binfmt_misc/register")),
    ("set a sysctl of all", "read-only /proc/sys", || write("/proc/sys/vm/overcommit_memory")),
    ("trigger a magic SysRq", "read-only /proc/sysrq-trigger", || write("/proc/sysrq-trigger")),
    ("write to /proc/irq", "read-only /proc/irq", || write("/proc/irq/default_smp_affinity")),
    ("read the kernel's memory", "masked /proc/kcore", || read("/proc/kcore")),
    ("read all keys", "masked /proc/keys", || read("/proc/keys")),
    ("read timers of the host", "masked /proc/timer_list", || read("/proc/timer_list")),
    ("read the firmware's tables", "masked /sys/firmware", || list("/sys/firmware")),
    ("write to a cgroup's release_agent", "no writable cgroup", release_agent),
    ("allow itself a device", "no writable cgroup", || write("/sys/fs/cgroup/devices/devices.allow")),
    ("leave its own cgroup", "no writable cgroup", || write("/sys/fs/cgroup/pids/cgroup.procs")),
    ("be spared by the OOM killer", "capabilities", spared),
    ("raise its own limits", "capabilities", raise_limits),
    ("change the host name", "capabilities", || Ok(rustix::system::sethostname(b"escaped")?)),
    ("load a module", "seccomp, capabilities", || probe(Probe::InitModule)),
    ("remove a module", "seccomp, capabilities", || probe(Probe::DeleteModule)),
    ("load another kernel", "seccomp, capabilities", || probe(Probe::Kexec)),
    ("reboot", "seccomp, capabilities", || probe(Probe::Reboot)),
    ("load a BPF program", "seccomp, capabilities", || probe(Probe::Bpf)),
    ("watch by performance events", "seccomp, capabilities", || probe(Probe::PerfEvents)),
    ("read the kernel's log", "seccomp, capabilities", || probe(Probe::KernelLog)),
    ("open a file by handle", "seccomp, capabilities", || probe(Probe::OpenByHandle)),
    ("use keyrings", "seccomp", || probe(Probe::Keys)),
    ("use io_uring", "seccomp", || probe(Probe::IoUring)),
    ("use userfaultfd", "seccomp", || probe(Probe::UserFault)),
    ("swap to a file", "seccomp, capabilities", || probe(Probe::Swap)),
    ("switch accounting", "seccomp, capabilities", || probe(Probe::Accounting)),
    ("set quotas", "seccomp, capabilities", || probe(Probe::Quota)),
];

/// Each attempt is a process of its own, so that what one reaches is not what the next starts from.
fn main() {
    let number = std::env::args().nth(1).and_then(|number| number.parse::<usize>().ok());
    if let Some((_, _, attempt)) = number.and_then(|number| ATTEMPTS.get(number)) {
        return println!("{}", attempt().map_or_else(|error| told(&error), |()| "through".to_owned()));
    }
    for (number, (name, barrier, _)) in ATTEMPTS.iter().enumerate() {
        let child = std::process::Command::new("/bin/escape").arg(number.to_string()).output();
        let outcome = child.map_or_else(
            |error| error.to_string(),
            |child| match child.status.code() {
                Some(0) => String::from_utf8_lossy(&child.stdout).trim().to_owned(),
                _ => child.status.to_string(),
            },
        );
        println!("{name}\t{barrier}\t{outcome}");
    }
}

/// An errno by its name.
fn told(error: &io::Error) -> String {
    const NAMES: &[(i32, &str)] = &[
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::ESRCH, "ESRCH"),
        (libc::ENXIO, "ENXIO"),
        (libc::EACCES, "EACCES"),
        (libc::EBUSY, "EBUSY"),
        (libc::ENODEV, "ENODEV"),
        (libc::EINVAL, "EINVAL"),
        (libc::EROFS, "EROFS"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::ECONNREFUSED, "ECONNREFUSED"),
    ];
    let name = error.raw_os_error().and_then(|errno| NAMES.iter().find(|(number, _)| *number == errno));
    name.map_or_else(|| error.to_string(), |(_, name)| (*name).to_owned())
}

fn host(what: &str) -> String {
    std::env::var(format!("HOST_{what}")).unwrap_or_default()
}

fn stopped(why: &str) -> io::Error {
    io::Error::other(why.to_owned())
}

fn see_process() -> io::Result<()> {
    let seen = fs::read_to_string(format!("/proc/{}/cmdline", host("PID")))?;
    if seen.contains("escapes") { Ok(()) } else { Err(stopped("another process")) }
}

fn host_pid() -> io::Result<Pid> {
    Pid::from_raw(host("PID").parse().unwrap_or_default()).ok_or_else(|| stopped("no pid"))
}

fn signal_process() -> io::Result<()> {
    Ok(test_kill_process(host_pid()?)?)
}

fn enter_namespace() -> io::Result<()> {
    sys::process::setns(File::open("/proc/1/ns/mnt")?.as_fd(), NamespaceFlags::MOUNT)
}

fn exchange_root() -> io::Result<()> {
    Ok(rustix::process::pivot_root(".", ".")?)
}

fn spared() -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", "-1000")
}

fn raise_limits() -> io::Result<()> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let more = limit.maximum.map(|most| most + 1);
    Ok(rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.current, maximum: more })?)
}

fn same_namespace(kind: &str) -> io::Result<()> {
    let own = fs::read_link(format!("/proc/self/ns/{kind}"))?;
    if own.to_string_lossy() == host(&format!("NS_{}", kind.to_uppercase())) {
        Ok(())
    } else {
        Err(stopped("its own"))
    }
}

fn abstract_socket() -> io::Result<()> {
    let address = std::os::unix::net::SocketAddr::from_abstract_name(host("SOCKET"))?;
    std::os::unix::net::UnixStream::connect_addr(&address).map(drop)
}

fn loopback() -> io::Result<()> {
    let port = host("PORT").parse().unwrap_or(1);
    TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(1)).map(drop)
}

fn read(path: &str) -> io::Result<()> {
    let mut byte = [0];
    let count = io::Read::read(&mut File::open(path)?, &mut byte)?;
    if count == 1 { Ok(()) } else { Err(stopped("empty")) }
}

fn list(path: &str) -> io::Result<()> {
    if fs::read_dir(path)?.next().is_some() { Ok(()) } else { Err(stopped("empty")) }
}

fn write(path: &str) -> io::Result<()> {
    File::options().write(true).open(path).map(drop)
}

fn through_init() -> io::Result<()> {
    read(&format!("/proc/1/root{}", host("SECRET")))
}

fn second_chroot() -> io::Result<()> {
    let root = File::open("/")?;
    fs::create_dir_all("/tmp/second")?;
    rustix::process::chroot("/tmp/second")?;
    // The working directory is outside of the new root, and .. is not stopped by it any more.
    rustix::process::fchdir(&root)?;
    let found = (0..32).try_for_each(|_| rustix::process::chdir(".."));
    let secret = host("SECRET");
    let tried = found.map_err(io::Error::from).and_then(|()| read(secret.trim_start_matches('/')));
    rustix::process::fchdir(&root)?;
    rustix::process::chroot(".")?;
    tried
}

fn leaked_descriptor() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let number: i32 = entry.file_name().to_string_lossy().parse().unwrap_or_default();
        let target = fs::read_link(entry.path()).unwrap_or_default();
        // The directory that is being read is one of ours.
        if number > 2 && !target.starts_with("/proc") {
            return Ok(());
        }
    }
    Err(stopped("none"))
}

fn mount(source: &str, kind: &str) -> io::Result<()> {
    let target = "/tmp/mounted";
    fs::create_dir_all(target)?;
    rustix::mount::mount(source, target, kind, MountFlags::empty(), None)?;
    Ok(rustix::mount::unmount(target, UnmountFlags::DETACH)?)
}

fn unmount(path: &str) -> io::Result<()> {
    Ok(rustix::mount::unmount(path, UnmountFlags::DETACH)?)
}

fn make_device(kind: FileType, numbers: &str) -> io::Result<&'static Path> {
    let path = Path::new("/tmp/device");
    drop(fs::remove_file(path));
    let (major, minor) = numbers.split_once(':').unwrap_or_default();
    let number = rustix::fs::makedev(major.parse().unwrap_or_default(), minor.parse().unwrap_or_default());
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), number)?;
    Ok(path)
}

fn device(kind: FileType, numbers: &str) -> io::Result<()> {
    File::open(make_device(kind, numbers)?).map(drop)
}

fn mount_disk() -> io::Result<()> {
    let device = make_device(FileType::BlockDevice, &host("DISK"))?;
    fs::create_dir_all("/tmp/mounted")?;
    let flags = MountFlags::RDONLY;
    rustix::mount::mount(device, "/tmp/mounted", host("DISK_KIND"), flags, None)?;
    Ok(rustix::mount::unmount("/tmp/mounted", UnmountFlags::DETACH)?)
}

fn release_agent() -> io::Result<()> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup")?.flatten();
    let mut outcome = Err(io::Error::from_raw_os_error(libc::ENOENT));
    for hierarchy in hierarchies {
        outcome = write(&hierarchy.path().join("release_agent").to_string_lossy());
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Whether the kernel looked at the arguments.
fn probe(call: Probe) -> io::Result<()> {
    match sys::probe::call(call) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::ENOSYS)) => {
            Err(error)
        }
        _ => Ok(()),
    }
}
