//! How a name is resolved for a container, step by step: what `network trace-dns` shows.

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::message::{self, A, AAAA};
use super::servers::{self, Servers};
use super::zone::Zone;
use super::{RESOLVER, Resolver};
use crate::endpoint::Attachment;
use crate::{Error, Networks, Result};

/// So long is a server waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way of a question.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Trace {
    /// Where it went, in order.
    pub steps: Vec<TraceStep>,
    /// What it led to.
    pub addresses: Vec<IpAddr>,
}

/// One step of a question.
#[derive(Clone, Debug, serde::Serialize)]
pub struct TraceStep {
    /// Where: the container's resolver, a network, a server.
    pub place: String,
    /// What was found there.
    pub outcome: String,
    /// How long it took, in microseconds.
    pub microseconds: u128,
}

impl Networks {
    /// Follows a name as the container's resolver would. The caller is in the host's network namespace.
    ///
    /// # Errors
    /// Where the container is connected with nothing.
    pub fn trace_dns(&self, container: &str, name: &str) -> Result<Trace> {
        let none = || Error::NotConnected { network: "any".into(), container: container.to_owned() };
        let attachment = self.attachment(container)?.ok_or_else(none)?;
        let mut trace = Trace { steps: Vec::new(), addresses: Vec::new() };
        let needed = Resolver::is_needed(self, &attachment);
        trace.step(
            format!("{} asks", attachment.name),
            Instant::now(),
            match needed {
                true => format!("{RESOLVER}, the resolver in its monitor"),
                false => "the servers in its /etc/resolv.conf: no network of it resolves names".into(),
            },
        );
        if self.trace_networks(&attachment, name, &mut trace)? {
            return Ok(trace);
        }
        if needed && !attachment.leads_out() {
            let refused = "all its networks are internal: nobody else is asked (SERVFAIL)".to_owned();
            trace.step("the world".into(), Instant::now(), refused);
            return Ok(trace);
        }
        let from = if attachment.dns.is_empty() { servers::RESOLV_CONF } else { "--dns" };
        for server in Servers::new(&attachment.dns).get() {
            let start = Instant::now();
            let outcome = ask(*server, name);
            let found = outcome.as_ref().is_ok_and(|addresses| !addresses.is_empty());
            let told = match &outcome {
                Ok(addresses) if addresses.is_empty() => "no such name, or no address of it".to_owned(),
                Ok(addresses) => list(addresses),
                Err(error) => error.clone(),
            };
            trace.step(format!("server {server} (of {from})"), start, told);
            if found {
                trace.addresses = outcome.unwrap_or_default();
            }
            if found || !trace.steps.last().is_some_and(|step| step.outcome.starts_with("no answer")) {
                break;
            }
        }
        Ok(trace)
    }

    /// Whether the name is one of a container in the networks.
    fn trace_networks(&self, attachment: &Attachment, name: &str, trace: &mut Trace) -> Result<bool> {
        let lower = name.trim_end_matches('.').to_ascii_lowercase();
        for endpoint in attachment.endpoints.iter().filter(|endpoint| endpoint.resolves_names()) {
            let start = Instant::now();
            let alone = Attachment { endpoints: vec![endpoint.clone()], ..attachment.clone() };
            let found = Zone::new(self.run(), &alone).addresses_of(&lower)?;
            let told = found.as_ref().map_or_else(|| "nobody of that name".to_owned(), |found| list(found));
            trace.step(format!("network {}", endpoint.network), start, told);
            trace.addresses.extend(found.into_iter().flatten());
        }
        Ok(!trace.addresses.is_empty())
    }
}

impl Trace {
    fn step(&mut self, place: String, start: Instant, outcome: String) {
        self.steps.push(TraceStep { place, outcome, microseconds: start.elapsed().as_micros() });
    }
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Asks a server for the addresses of a name.
fn ask(server: std::net::SocketAddr, name: &str) -> Result<Vec<IpAddr>, String> {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let talk = |kind: u16| -> std::io::Result<Vec<IpAddr>> {
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(server)?;
        socket.send(&message::ask(kind, name, kind))?;
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer)?;
        Ok(message::addresses(&buffer[..length], kind))
    };
    let mut found = Vec::new();
    for kind in [A, AAAA] {
        found.extend(talk(kind).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                format!("no answer within {} s", PATIENCE.as_secs())
            }
            _ => format!("no answer: {error}"),
        })?);
    }
    Ok(found)
}
