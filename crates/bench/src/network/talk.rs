//! What is sent through networks: bulk, requests, questions. Each side is a thread, or iperf3, in a network namespace.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sys::process::NamespaceFlags;

/// Bytes of a request, and of its reply.
const REQUEST: usize = 64;
/// Nobody is waited for longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A network namespace: a process' by its id, or the one that the benchmark is in.
#[derive(Clone, Copy, Debug)]
pub enum Space {
    Own,
    Of(u32),
}

impl Space {
    fn enter(self) -> Result<(), String> {
        let Self::Of(pid) = self else { return Ok(()) };
        let path = format!("/proc/{pid}/ns/net");
        let namespace = std::fs::File::open(&path).map_err(|error| format!("{path}: {error}"))?;
        sys::process::setns(namespace.as_fd(), NamespaceFlags::NET)
            .map_err(|error| format!("{path}: {error}"))
    }

    /// Does something in there, in a thread of its own.
    pub fn inside<T: Send>(self, work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
        std::thread::scope(|scope| {
            let visit = scope.spawn(move || self.enter().and_then(|()| work()));
            visit.join().unwrap_or_else(|_| Err("a thread of the benchmark broke off".to_owned()))
        })
    }

    /// A program of the host's in there.
    pub fn command(self, program: &str) -> Command {
        match self {
            Self::Own => Command::new(program),
            Self::Of(pid) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/proc/{pid}/ns/net")).arg(program);
                command
            }
        }
    }
}

fn told(error: std::io::Error) -> String {
    error.to_string()
}

/// Answers requests at a port, as long as the program runs.
pub fn serve(space: Space, port: u16) -> Result<(), String> {
    let listener = space.inside(move || TcpListener::bind(("::", port)).map_err(told))?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.set_nodelay(true);
                let mut buffer = [0; REQUEST];
                while stream.read_exact(&mut buffer).is_ok() && stream.write_all(&buffer).is_ok() {}
            });
        }
    });
    Ok(())
}

/// The time of so many requests, one after another, on one connection.
pub fn requests(from: Space, to: SocketAddr, count: usize) -> Result<Duration, String> {
    from.inside(move || {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE).map_err(told)?;
        stream.set_nodelay(true).map_err(told)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
        let mut buffer = [0; REQUEST];
        let mut exchange = |stream: &mut TcpStream| {
            stream.write_all(&buffer).and_then(|()| stream.read_exact(&mut buffer)).map_err(told)
        };
        exchange(&mut stream)?;
        let start = Instant::now();
        for _ in 0..count {
            exchange(&mut stream)?;
        }
        Ok(start.elapsed())
    })
}

/// iperf3's server, which ends with the value.
pub struct Bulk(Child);

impl Bulk {
    pub fn serve(space: Space, port: u16) -> Result<Self, String> {
        let mut command = space.command("iperf3");
        command.args(["--server", "--port", &port.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        child.map(Self).map_err(|error| format!("iperf3: {error}: it comes with Debian's package iperf3"))
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The time in which so many bytes arrive.
pub fn transfer(from: Space, to: SocketAddr, bytes: u64) -> Result<Duration, String> {
    let mut command = from.command("iperf3");
    command.args(["--json", "--client", &to.ip().to_string(), "--port", &to.port().to_string()]);
    let output = command.args(["--bytes", &bytes.to_string()]).output().map_err(told)?;
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let received = &report["end"]["sum_received"];
    match (received["bytes"].as_f64(), received["bits_per_second"].as_f64()) {
        (Some(arrived), Some(rate)) if arrived > 0.0 && rate > 0.0 => {
            Ok(Duration::from_secs_f64(bytes as f64 * 8.0 / rate))
        }
        _ => Err(format!("iperf3: {}", report["error"].as_str().unwrap_or("nothing arrived"))),
    }
}

/// The time of so many questions for the IPv4 address of a name, one after another.
pub fn questions(from: Space, server: IpAddr, name: &str, count: usize) -> Result<Duration, String> {
    let message = question(name);
    from.inside(move || {
        let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).map_err(told)?;
        socket.connect(SocketAddr::new(server, 53)).map_err(told)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(told)?;
        let mut buffer = [0; 512];
        let start = Instant::now();
        for _ in 0..count {
            socket.send(&message).map_err(told)?;
            let length = socket.recv(&mut buffer).map_err(told)?;
            if length < 12 || buffer[3] & 15 != 0 || buffer[7] == 0 {
                return Err(format!("{server} knows no such name"));
            }
        }
        Ok(start.elapsed())
    })
}

/// RFC 1035, 4.1: one question, recursion desired.
fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap_or(0));
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}
