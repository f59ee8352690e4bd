//! Names to addresses without `getaddrinfo`, which opens NSS modules and so can crash a static binary.
//!
//! Order: address literals, `localhost`, the hosts file, the servers of resolv.conf.

mod files;
mod message;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use files::ResolvConf;
use message::{Answer, RecordType};

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Every server that answered says so.
    #[error("no such host name (asked {servers})")]
    NotFound {
        /// The name servers, comma separated.
        servers: String,
    },
    /// No server answered in time or with sense.
    #[error("no answer from the name servers {servers} of {path}")]
    NoAnswer {
        /// The name servers, comma separated.
        servers: String,
        /// The resolv.conf that names them.
        path: PathBuf,
    },
}

/// A stub resolver over two files, read anew for each name: they are small, and may change under a server.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// The hosts file.
    pub hosts: PathBuf,
    /// The list of name servers.
    pub resolv_conf: PathBuf,
    /// The port that name servers listen on.
    pub port: u16,
}

impl Default for Resolver {
    fn default() -> Resolver {
        Resolver { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into(), port: 53 }
    }
}

impl Resolver {
    /// The addresses of `host`, IPv4 and IPv6 alternating as RFC 8305 wants them.
    pub async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = literal.parse() {
            return Ok(vec![address]);
        }
        let hosts = std::fs::read_to_string(&self.hosts).unwrap_or_default();
        let listed = files::hosts_entry(&hosts, host.trim_end_matches('.'));
        if !listed.is_empty() {
            return Ok(listed);
        }
        if is_localhost(host) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        self.ask(host).await
    }

    async fn ask(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let conf = ResolvConf::parse(&std::fs::read_to_string(&self.resolv_conf).unwrap_or_default());
        let servers = || conf.nameservers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let mut answered = false;
        for name in conf.candidates(host) {
            let (v4, v6) = tokio::join!(
                self.ask_all(&conf, &name, RecordType::A),
                self.ask_all(&conf, &name, RecordType::Aaaa)
            );
            answered |= v4.is_some() || v6.is_some();
            let addresses = alternate(v4.unwrap_or_default(), v6.unwrap_or_default());
            if !addresses.is_empty() {
                return Ok(addresses);
            }
        }
        if answered {
            Err(ResolveError::NotFound { servers: servers() })
        } else {
            Err(ResolveError::NoAnswer { servers: servers(), path: self.resolv_conf.clone() })
        }
    }

    /// Asks each server in turn until one knows; `None` where none gave an authoritative yes or no.
    async fn ask_all(&self, conf: &ResolvConf, name: &str, kind: RecordType) -> Option<Vec<IpAddr>> {
        for _ in 0..conf.attempts {
            for server in &conf.nameservers {
                let server = SocketAddr::new(*server, self.port);
                let Some(answer) = ask_one(server, name, kind, conf.timeout).await else { continue };
                match answer.code {
                    0 | 3 => return Some(answer.addresses),
                    _ => {}
                }
            }
        }
        None
    }
}

async fn ask_one(server: SocketAddr, name: &str, kind: RecordType, limit: Duration) -> Option<Answer> {
    let mut id = [0; 2];
    SystemRandom::new().fill(&mut id).ok()?;
    let query = message::query(u16::from_be_bytes(id), name, kind)?;
    let answer = timeout(limit, ask_udp(server, &query, kind)).await.ok()??;
    if answer.truncated {
        return timeout(limit, ask_tcp(server, &query, kind)).await.ok()?;
    }
    Some(answer)
}

async fn ask_udp(server: SocketAddr, query: &[u8], kind: RecordType) -> Option<Answer> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await.ok()?;
    // A connected socket takes datagrams from that server alone.
    socket.connect(server).await.ok()?;
    socket.send(query).await.ok()?;
    let mut buffer = [0; 4096];
    loop {
        let len = socket.recv(&mut buffer).await.ok()?;
        if let Some(answer) = message::answer(query, &buffer[..len], kind) {
            return Some(answer);
        }
    }
}

async fn ask_tcp(server: SocketAddr, query: &[u8], kind: RecordType) -> Option<Answer> {
    let mut stream = TcpStream::connect(server).await.ok()?;
    stream.write_u16(query.len() as u16).await.ok()?;
    stream.write_all(query).await.ok()?;
    let mut message = vec![0; usize::from(stream.read_u16().await.ok()?)];
    stream.read_exact(&mut message).await.ok()?;
    message::answer(query, &message, kind)
}

/// RFC 6761 section 6.3: `localhost` and what ends in it is this host, whatever a server says.
pub(crate) fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

fn alternate(v4: Vec<IpAddr>, v6: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut mixed = Vec::with_capacity(v4.len() + v6.len());
    let (mut v4, mut v6) = (v4.into_iter(), v6.into_iter());
    loop {
        let before = mixed.len();
        mixed.extend(v4.next());
        mixed.extend(v6.next());
        if mixed.len() == before {
            return mixed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn literals_and_localhost_need_no_server() {
        let resolver = Resolver { hosts: "/nonexistent".into(), resolv_conf: "/nonexistent".into(), port: 1 };
        run(async {
            assert_eq!(resolver.lookup("[::1]").await.unwrap(), [IpAddr::from(Ipv6Addr::LOCALHOST)]);
            assert_eq!(resolver.lookup("192.0.2.1").await.unwrap(), [IpAddr::from([192, 0, 2, 1])]);
            assert_eq!(resolver.lookup("reg.localhost").await.unwrap().len(), 2);
        });
    }

    #[test]
    fn a_server_on_loopback_is_asked_and_a_lying_datagram_skipped() {
        run(async {
            let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let port = server.local_addr().unwrap().port();
            let path = std::env::temp_dir().join(format!("resolv.conf.{}", std::process::id()));
            std::fs::write(&path, "nameserver 127.0.0.1\noptions attempts:1 timeout:5\n").unwrap();
            let resolver = Resolver { hosts: "/nonexistent".into(), resolv_conf: path.clone(), port };
            let serve = async {
                let mut buffer = [0; 512];
                for _ in 0..2 {
                    let (len, from) = server.recv_from(&mut buffer).await.unwrap();
                    let mut reply = buffer[..len].to_vec();
                    reply[0] ^= 0xff;
                    server.send_to(&reply, from).await.unwrap();
                    reply[0] ^= 0xff;
                    reply[2] |= 0x80;
                    let is_a = reply[len - 3] == 1;
                    if is_a {
                        reply[7] = 1;
                        reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 7]);
                    }
                    server.send_to(&reply, from).await.unwrap();
                }
            };
            let (found, ()) = tokio::join!(resolver.lookup("registry.example"), serve);
            std::fs::remove_file(path).unwrap();
            assert_eq!(found.unwrap(), [IpAddr::from([192, 0, 2, 7])]);
        });
    }
}
