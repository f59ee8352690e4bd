//! The way out for containers of an ordinary user: a program that speaks TCP, UDP and ICMP for the container through
//! sockets of the user's own, pasta(1) or slirp4netns(1). It is a child of whoever connects the container, and ends with
//! it; so there is nothing to take back but the ports that are reserved.
//!
//! ```text
//! RUN/network/users/CONTAINER            the ports that it publishes: written before the program is started
//! RUN/network/users/CONTAINER.program    who the program is: written by itself
//! ```

use std::collections::BTreeSet;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::FdFlags;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use sys::process::{CloneFlags, Cloned, NamespaceFlags};

use crate::endpoint::{PortRequest, Protocol, PublishedPorts};
use crate::{Error, Networks, Result, disk, program};

/// What a container asks for names where the host's own server is one that only the host reaches: pasta passes it on.
pub const USER_RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// slirp4netns' own: its network is 10.0.2.0/24 wherever it is.
const SLIRP_RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
const SLIRP_SOCKET: &str = "slirp4netns.sock";
const SLIRP_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);
/// How long a program may take until the container is connected.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where programs are that an ordinary user's PATH may leave out.
const PLACES: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// A program that connects a container with the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserMode {
    /// Fast, with IPv6, and peers keep their addresses.
    Pasta,
    /// What there was before.
    Slirp4netns,
}

impl UserMode {
    /// The better first.
    const ALL: [UserMode; 2] = [UserMode::Pasta, UserMode::Slirp4netns];

    /// The program's name, by which `--network` knows it too.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pasta => "pasta",
            Self::Slirp4netns => "slirp4netns",
        }
    }

    /// The program of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// The best one that this host has.
    #[must_use]
    pub fn installed() -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.program().is_some())
    }

    fn program(self) -> Option<PathBuf> {
        let mut places = std::env::var_os("PATH").unwrap_or_default();
        places.push(":");
        places.push(PLACES);
        let paths = std::env::split_paths(&places).filter(|path| path.is_absolute());
        paths
            .map(|path| path.join(self.name()))
            .find(|path| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok())
    }

    /// Whom a container asks for names that its user named nobody for; none where the host's own servers will do.
    /// `loopback` says that these are at addresses which only the host reaches.
    #[must_use]
    pub fn resolver(self, loopback: bool) -> Option<IpAddr> {
        match self {
            Self::Pasta => loopback.then_some(USER_RESOLVER.into()),
            Self::Slirp4netns => Some(SLIRP_RESOLVER.into()),
        }
    }
}

/// What to do where there is no program.
pub(crate) const NO_USER_MODE: &str = "as root, apt-get install passt (Debian, Ubuntu) or dnf install passt (Fedora), or take --network none or \
                                --network host";

/// A container that is to be connected.
#[derive(Clone, Copy, Debug)]
pub struct UserRequest<'a> {
    /// Its id.
    pub container: &'a str,
    /// Its first process.
    pub pid: Pid,
    /// A directory of its own for what ends with its run.
    pub dir: &'a Path,
    /// The ports that it publishes.
    pub ports: &'a [PortRequest],
    /// The name of its interface; none where it is the only one.
    pub interface: Option<&'a str>,
}

/// The program at work. Dropping it ends nothing: it ends with the process that started it, or by [`end`](Self::end).
#[derive(Debug)]
pub struct UserNetwork {
    pidfd: OwnedFd,
}

impl UserNetwork {
    /// One whose descriptor was handed over.
    #[must_use]
    pub fn with(pidfd: OwnedFd) -> Self {
        Self { pidfd }
    }

    /// Ends the program, and waits for that.
    pub fn end(self) {
        let _ = sys::process::pidfd_signal(self.pidfd.as_fd(), libc::SIGKILL);
        let wait = || rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
        let _ = rustix::io::retry_on_intr(wait);
    }
}

impl AsFd for UserNetwork {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Networks {
    /// Connects a container through `mode`, and gives what its ports became. The caller's network is the host's, and the
    /// caller lives as long as the container.
    ///
    /// # Errors
    /// Where there is no such program, it gives up, or a port is taken; then nothing is left.
    pub fn connect_user(
        &self,
        mode: UserMode,
        request: UserRequest<'_>,
    ) -> Result<(UserNetwork, Vec<PublishedPorts>)> {
        let program = mode.program().ok_or(Error::NoUserMode { program: mode.name() })?;
        check_tunnel(mode)?;
        let mut ports = Vec::new();
        let note = self.program_note(request.container);
        let connected = (|| {
            // slirp4netns publishes by IPv4 alone, and pasta by IPv6 where the host has a way out by it.
            let families = [true, mode == UserMode::Pasta && leads_out_by_ipv6()];
            self.reserve_all(request.ports, None, families, request.container, &mut ports)?;
            disk::replace_json(&self.user_path(request.container), &ports)?;
            match mode {
                UserMode::Pasta => pasta(&program, &note, &request, &ports),
                UserMode::Slirp4netns => slirp4netns(&program, &note, &request, &ports),
            }
        })();
        match connected {
            Ok(network) => Ok((network, ports)),
            Err(error) => {
                // The reason why it can't be is what is told.
                let _ = self.release_ports(&ports, request.container);
                let _ = self.disconnect_user(request.container);
                Err(error)
            }
        }
    }

    /// Ends the program of such a container, if it outlived whoever started it, and gives the ports back.
    ///
    /// # Errors
    /// Where that can't be written.
    pub fn disconnect_user(&self, container: &str) -> Result<()> {
        let path = self.user_path(container);
        let Some(ports) = disk::read_json::<Vec<PublishedPorts>>(&path)? else { return Ok(()) };
        program::end_noted(&self.program_note(container))?;
        self.release_ports(&ports, container)?;
        disk::remove(&path)
    }

    fn program_note(&self, container: &str) -> PathBuf {
        self.run().join("users").join(format!("{container}.program"))
    }

    fn user_path(&self, container: &str) -> PathBuf {
        self.run().join("users").join(container)
    }
}

/// Both programs say of it only that it can't be opened.
fn check_tunnel(mode: UserMode) -> Result<()> {
    let both = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
    rustix::fs::access("/dev/net/tun", both)
        .map_err(|errno| Error::NoTunnel { program: mode.name(), missing: errno == rustix::io::Errno::NOENT })
}

/// pasta writes its number to a file when the container is connected; the file is a pipe here.
fn pasta(
    program: &Path,
    note: &Path,
    request: &UserRequest<'_>,
    ports: &[PublishedPorts],
) -> Result<UserNetwork> {
    let pipe = request.dir.join("pasta.pid");
    let fail = |errno| Error::file("make", &pipe, errno);
    disk::remove(&pipe)?;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .map_err(fail)?;
    let ready = rustix::fs::open(&pipe, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    let ready = ready.map_err(fail)?;
    let private = Private::new(request.pid, pipe.clone());
    let mut arguments: Vec<OsString> =
        ["--foreground", "--quiet", "--config-net", "--no-map-gw", "--dns-forward"].map(Into::into).into();
    arguments.push(USER_RESOLVER.to_string().into());
    for (flag, protocol) in [("-t", Protocol::Tcp), ("-u", Protocol::Udp)] {
        let of_protocol = ports.iter().filter(|ports| ports.protocol == protocol);
        let specs: BTreeSet<String> = of_protocol.map(|one| pasta_ports(one, ports)).collect();
        // What is not asked for would be every port that somebody listens on.
        let specs = if specs.is_empty() { ["none".to_owned()].into() } else { specs };
        arguments.extend(specs.into_iter().flat_map(|spec| [flag.into(), spec.into()]));
    }
    arguments.extend(request.interface.into_iter().flat_map(|name| ["--ns-ifname", name].map(Into::into)));
    arguments.extend(["-T", "none", "-U", "none", "-P"].map(Into::into));
    arguments.push(READY.into());
    arguments.push("--netns".into());
    arguments.push(private.namespace.clone().into());
    let connected = start(UserMode::Pasta, program, note, &arguments, &ready, Extra::Private(&private));
    disk::remove(&pipe)?;
    connected
}

/// Of routes as /proc/net/ipv6_route lists them (destination, prefix, …, interface), whether one leads everywhere.
fn leads_out_by_ipv6() -> bool {
    let routes = std::fs::read_to_string("/proc/self/net/ipv6_route").unwrap_or_default();
    let everywhere = format!("{:032x} 00 ", 0);
    routes.lines().any(|line| line.starts_with(&everywhere) && !line.ends_with(" lo"))
}

/// `ADDRESS/FIRST-LAST:FIRST-LAST`; without an address where `all` have the same on every address of both families, which
/// pasta takes for one.
fn pasta_ports(ports: &PublishedPorts, all: &[PublishedPorts]) -> String {
    let PublishedPorts { host_ip, host, container, count, .. } = *ports;
    let range = |first: u16| match count {
        1 => first.to_string(),
        _ => format!("{first}-{}", first.saturating_add(count - 1)),
    };
    let twin = |other: &PublishedPorts| {
        other.host_ip.is_unspecified()
            && other.host_ip.is_ipv4() != host_ip.is_ipv4()
            && PublishedPorts { host_ip, ..*other } == *ports
    };
    match host_ip.is_unspecified() && all.iter().any(twin) {
        true => format!("{}:{}", range(host), range(container)),
        false => format!("{host_ip}/{}:{}", range(host), range(container)),
    }
}

fn slirp4netns(
    program: &Path,
    note: &Path,
    request: &UserRequest<'_>,
    ports: &[PublishedPorts],
) -> Result<UserNetwork> {
    let (ready, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|errno| Error::kernel("make", "a pipe", errno))?;
    disk::remove(&request.dir.join(SLIRP_SOCKET))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(request.dir, flags, Mode::empty());
    let dir = dir.map_err(|errno| Error::file("open", request.dir, errno))?;
    // A socket's path has 107 bytes at the most (unix(7)).
    let socket = PathBuf::from(format!("/proc/self/fd/{}/{SLIRP_SOCKET}", dir.as_raw_fd()));
    let mut arguments: Vec<OsString> =
        ["--configure", "--mtu=65520", "--enable-ipv6", "--disable-host-loopback"].map(Into::into).into();
    arguments.push(format!("--ready-fd={}", theirs.as_raw_fd()).into());
    arguments.push("--api-socket".into());
    arguments.push(socket.clone().into());
    arguments.push(request.pid.as_raw_nonzero().to_string().into());
    arguments.push("tap0".into());
    let network =
        start(UserMode::Slirp4netns, program, note, &arguments, &ready, Extra::Inherited(&[&theirs, &dir]))?;
    let forwarded = ports.iter().try_for_each(|ports| forward(&socket, ports));
    match forwarded {
        Ok(()) => Ok(network),
        Err(error) => {
            network.end();
            Err(error)
        }
    }
}

/// `add_hostfwd` of slirp4netns' socket, a port at a time.
fn forward(socket: &Path, ports: &PublishedPorts) -> Result<()> {
    let failed = |message: String| Error::UserMode { program: "slirp4netns", message };
    for offset in 0..ports.count {
        let question = serde_json::json!({"execute": "add_hostfwd", "arguments": {
            "proto": ports.protocol.to_string(),
            "host_addr": ports.host_ip.to_string(),
            "host_port": ports.host + offset,
            "guest_addr": SLIRP_ADDRESS.to_string(),
            "guest_port": ports.container + offset,
        }});
        let mut answer = String::new();
        UnixStream::connect(socket)
            .and_then(|mut stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.write_all(question.to_string().as_bytes())?;
                stream.shutdown(std::net::Shutdown::Write)?;
                stream.read_to_string(&mut answer)
            })
            .map_err(|error| failed(format!("publish {ports}: {error}")))?;
        let told: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        if let Some(error) = told.get("error") {
            return Err(failed(format!("publish {ports}: {error}")));
        }
    }
    Ok(())
}

/// What the program needs beside arguments.
enum Extra<'a> {
    /// Descriptors that it inherits.
    Inherited(&'a [&'a OwnedFd]),
    /// Files where it alone finds them.
    Private(&'a Private),
}

impl Extra<'_> {
    /// Called in the program's process.
    fn provide(&self) -> bool {
        match self {
            Self::Inherited(fds) => {
                fds.iter().all(|fd| rustix::io::fcntl_setfd(fd, FdFlags::empty()).is_ok())
            }
            Self::Private(private) => private.mount().is_ok(),
        }
    }
}

/// A view of the file system that pasta alone has. A process on its way into a container is hidden from whom pasta makes of
/// itself; what is mounted somewhere is not. Where that is, AppArmor's profiles of pasta decide, which were made for podman:
/// they let it open namespaces in /run/user/UID/netns, and write its number below /tmp.
struct Private {
    /// The container's network namespace, in /proc.
    source: PathBuf,
    /// Where pasta finds it.
    namespace: PathBuf,
    /// The pipe that is at [`READY`].
    pipe: PathBuf,
}

const READY: &str = "/tmp/ready";
const USERS: &str = "/run/user";

impl Private {
    fn new(pid: Pid, pipe: PathBuf) -> Self {
        let source = format!("/proc/{}/ns/net", pid.as_raw_nonzero()).into();
        // Who has no such directory has no systemd, and hardly AppArmor.
        let place =
            if Path::new(USERS).is_dir() { "/run/user/0/netns/container" } else { "/tmp/netns/container" };
        Self { source, namespace: place.into(), pipe }
    }

    fn mount(&self) -> std::io::Result<()> {
        sys::process::unshare(NamespaceFlags::MOUNT)?;
        rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
        // It may lie below what is covered now.
        let pipe = rustix::fs::open(&self.pipe, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let empty = |place: &str| {
            rustix::mount::mount("tmpfs", place, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=700")
        };
        empty("/tmp")?;
        if self.namespace.starts_with(USERS) {
            empty(USERS)?;
        }
        std::fs::create_dir_all(self.namespace.parent().unwrap_or(Path::new("/")))?;
        std::fs::write(&self.namespace, b"")?;
        rustix::mount::mount_bind(&self.source, &self.namespace)?;
        std::fs::write(READY, b"")?;
        Ok(rustix::mount::mount_bind(format!("/proc/self/fd/{}", pipe.as_raw_fd()), READY)?)
    }
}

/// Starts the program as a child that ends with this process, and waits until it says by `ready` that it is.
fn start(
    mode: UserMode,
    program: &Path,
    note: &Path,
    arguments: &[OsString],
    ready: &OwnedFd,
    extra: Extra<'_>,
) -> Result<UserNetwork> {
    let failed = |error: std::io::Error| Error::UserMode { program: mode.name(), message: error.to_string() };
    let c_string = |text: OsString| CString::new(text.into_vec()).map_err(|error| failed(error.into()));
    let path = c_string(program.into())?;
    let arguments = std::iter::once(Ok(path.clone()))
        .chain(arguments.iter().cloned().map(c_string))
        .collect::<Result<Vec<_>>>()?;
    let environment = std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        c_string(name)
    });
    let environment = environment.collect::<Result<Vec<_>>>()?;
    let nothing = File::options().read(true).write(true).open("/dev/null").map_err(failed)?;
    let said: File =
        rustix::fs::memfd_create("said", MemfdFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?.into();
    let parent = rustix::process::getpid();
    match sys::process::clone(CloneFlags::empty(), None).map_err(failed)? {
        Cloned::Child => {
            let prepared = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).is_ok()
                && rustix::process::getppid() == Some(parent)
                && rustix::stdio::dup2_stdin(&nothing).is_ok()
                && rustix::stdio::dup2_stdout(&said).is_ok()
                && rustix::stdio::dup2_stderr(&said).is_ok()
                && sys::process::reset_signals().is_ok()
                && program::note_self(note)
                && extra.provide();
            if prepared {
                let _ = sys::process::exec(&path, &arguments, &environment);
            }
            sys::process::exit_now(127);
        }
        Cloned::Parent { pidfd, .. } => {
            let network = UserNetwork { pidfd };
            match await_ready(&network, ready) {
                true => Ok(network),
                false => {
                    network.end();
                    Err(Error::UserMode { program: mode.name(), message: last_words(said) })
                }
            }
        }
    }
}

/// Whether the program wrote something before it ended or time was up.
fn await_ready(network: &UserNetwork, ready: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(ready, PollFlags::IN), PollFd::new(&network.pidfd, PollFlags::IN)];
    let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    let polled = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&patience)));
    polled.is_ok() && fds[0].revents().contains(PollFlags::IN)
}

/// What it said of its end, on one line.
fn last_words(mut said: File) -> String {
    let mut text = String::new();
    let _ = said.rewind();
    let _ = said.take(64 << 10).read_to_string(&mut text);
    // Where there is no system log, pasta complains of each line.
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains("to syslog"));
    let lines: Vec<&str> = lines.collect();
    match lines.is_empty() {
        true => "it ended, or did not begin in time, and said nothing".to_owned(),
        false => lines.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_as_pasta_reads_them() {
        let ports = |host_ip: &str, count| PublishedPorts {
            host_ip: host_ip.parse().unwrap(),
            host: 8000,
            container: 80,
            count,
            protocol: Protocol::Tcp,
        };
        let text = |host_ip: &str, count| pasta_ports(&ports(host_ip, count), &[ports("::", 2)]);
        assert_eq!(text("0.0.0.0", 1), "0.0.0.0/8000:80");
        assert_eq!(text("0.0.0.0", 2), "8000-8001:80-81");
        assert_eq!(text("::1", 3), "::1/8000-8002:80-82");
    }

    #[test]
    fn programs_have_names() {
        for mode in UserMode::ALL {
            assert_eq!(UserMode::named(mode.name()), Some(mode));
        }
        assert_eq!(UserMode::named("bridge"), None);
    }
}
