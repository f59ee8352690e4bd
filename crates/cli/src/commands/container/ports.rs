//! `--publish` and `--expose`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine::config::{Empty, PortBinding};

use crate::commands::values::csv;

/// Ports that a container listens on, and where they are published: `80/tcp` → addresses.
#[derive(Debug, Default, PartialEq)]
pub struct Ports {
    pub exposed: BTreeMap<String, Empty>,
    pub bindings: BTreeMap<String, Option<Vec<PortBinding>>>,
}

impl Ports {
    /// Adds the value of a `--publish`: `[[ADDRESS:][PORT]:]PORT[/PROTOCOL]`, each a port or a range, or the same as
    /// `target=…,published=…,protocol=…`.
    pub fn publish(&mut self, text: &str) -> Result<(), String> {
        let converted = if text.contains('=') { long_form(text)? } else { text.to_owned() };
        let (ports, protocol) = split_protocol(&converted);
        let (address, host, container) = split(ports)?;
        if container.is_empty() {
            return Err(format!("no port specified: {text}"));
        }
        if !address.is_empty() && address.parse::<IpAddr>().is_err() {
            return Err(format!("invalid IP address: {address}"));
        }
        let (first, last) = range(container).ok_or_else(|| format!("invalid containerPort: {container}"))?;
        let hosts = match host {
            "" => None,
            host => Some(range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?),
        };
        if hosts.is_some_and(|(low, high)| high - low != last - first && first != last) {
            return Err(format!(
                "invalid ranges specified for container and host Ports: {container} and {host}"
            ));
        }
        check_protocol(protocol)?;
        for port in first..=last {
            let host_port = match hosts {
                None => String::new(),
                Some((low, high)) if first == last && low != high => format!("{low}-{high}"),
                Some((low, _)) => (low + (port - first)).to_string(),
            };
            let key = format!("{port}/{}", protocol.to_ascii_lowercase());
            self.exposed.insert(key.clone(), Empty {});
            let binding = PortBinding { host_ip: address.to_owned(), host_port };
            self.bindings.entry(key).or_default().get_or_insert_default().push(binding);
        }
        Ok(())
    }

    /// Adds the value of an `--expose`: a port or a range, with or without protocol.
    pub fn expose(&mut self, text: &str) -> Result<(), String> {
        if text.contains(':') {
            return Err(format!("invalid port format for --expose: {text}"));
        }
        let (ports, protocol) = split_protocol(text);
        check_protocol(protocol)?;
        let wrong = || format!("invalid range format for --expose: {text}");
        let (first, last) = range(ports).ok_or_else(wrong)?;
        let names = (first..=last).map(|port| format!("{port}/{}", protocol.to_ascii_lowercase()));
        self.exposed.extend(names.map(|name| (name, Empty {})));
        Ok(())
    }
}

fn split_protocol(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((ports, protocol)) if !protocol.is_empty() => (ports, protocol),
        Some((ports, _)) => (ports, "tcp"),
        None => (text, "tcp"),
    }
}

fn check_protocol(protocol: &str) -> Result<(), String> {
    match protocol.to_ascii_lowercase().as_str() {
        "tcp" | "udp" | "sctp" => Ok(()),
        _ => Err(format!("invalid proto: {protocol}")),
    }
}

/// Address, host's port and container's port; the first two may be empty.
fn split(text: &str) -> Result<(&str, &str, &str), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or_else(|| format!("invalid IP address: {text}"))?;
        let mut ports = rest.strip_prefix(':').unwrap_or(rest).split(':');
        let (first, second, more) = (ports.next().unwrap_or_default(), ports.next(), ports.next());
        return match (second, more) {
            (Some(container), None) => Ok((address, first, container)),
            _ => Err(format!("invalid port format: {text}: expected [ADDRESS]:PORT:PORT")),
        };
    }
    let mut parts = text.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    Ok((parts.next().unwrap_or_default(), host, container))
}

/// The first and the last port of `N` or `N-M`.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    let (first, last): (u16, u16) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

/// `published=8080,target=80` in the short form.
fn long_form(text: &str) -> Result<String, String> {
    let (mut target, mut published, mut address) = (String::new(), String::new(), String::new());
    let mut protocol = "tcp".to_owned();
    for field in csv(text)? {
        let (key, value) =
            field.split_once('=').ok_or_else(|| format!("invalid field: {field}: expected KEY=VALUE"))?;
        match key {
            "target" => value.clone_into(&mut target),
            "published" => value.clone_into(&mut published),
            "protocol" => value.clone_into(&mut protocol),
            "host_ip" => value.clone_into(&mut address),
            // How a swarm's service is published: a container is always published by its host.
            "mode" if value == "host" || value == "ingress" => {}
            _ => return Err(format!("invalid field key: {key}")),
        }
    }
    if address.contains(':') {
        address = format!("[{address}]");
    }
    let address = if address.is_empty() { address } else { format!("{address}:") };
    Ok(format!("{address}{published}:{target}/{protocol}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(text: &str) -> Result<Vec<String>, String> {
        let mut ports = Ports::default();
        ports.publish(text)?;
        assert_eq!(ports.exposed.len(), ports.bindings.len());
        let shown = ports.bindings.iter().flat_map(|(port, bindings)| {
            bindings.iter().flatten().map(move |to| format!("{}|{}|{port}", to.host_ip, to.host_port))
        });
        Ok(shown.collect())
    }

    #[test]
    fn every_form_of_publish() {
        for (text, wanted) in [
            ("80", &["||80/tcp"][..]),
            ("8080:80", &["|8080|80/tcp"]),
            ("8080:80/udp", &["|8080|80/udp"]),
            ("127.0.0.1:8080:80/SCTP", &["127.0.0.1|8080|80/sctp"]),
            ("127.0.0.1::80", &["127.0.0.1||80/tcp"]),
            ("[::1]:8080:80", &["::1|8080|80/tcp"]),
            ("::1:8080:80", &["::1|8080|80/tcp"]),
            ("8000-8001:80-81", &["|8000|80/tcp", "|8001|81/tcp"]),
            ("8000-8010:80", &["|8000-8010|80/tcp"]),
            ("80-81", &["||80/tcp", "||81/tcp"]),
            ("published=8080,target=80,protocol=udp", &["|8080|80/udp"]),
            ("target=80,published=1,host_ip=::1", &["::1|1|80/tcp"]),
        ] {
            assert_eq!(published(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn wrong_ports_are_told() {
        for (text, told) in [
            ("", "no port specified: "),
            ("8080:", "no port specified: 8080:"),
            ("x:80", "invalid hostPort: x"),
            ("80:x", "invalid containerPort: x"),
            ("80:70000", "invalid containerPort: 70000"),
            ("81-80", "invalid containerPort: 81-80"),
            ("1-3:1-2", "invalid ranges specified for container and host Ports: 1-2 and 1-3"),
            ("host:80:80", "invalid IP address: host"),
            ("80:80/icmp", "invalid proto: icmp"),
            ("target=80,colour=red", "invalid field key: colour"),
        ] {
            assert_eq!(published(text).unwrap_err(), told, "{text}");
        }
    }

    #[test]
    fn exposed_ports() {
        let mut ports = Ports::default();
        ports.expose("80-81").and_then(|()| ports.expose("53/udp")).unwrap();
        assert_eq!(ports.exposed.keys().collect::<Vec<_>>(), ["53/udp", "80/tcp", "81/tcp"]);
        assert_eq!(ports.expose("80:80").unwrap_err(), "invalid port format for --expose: 80:80");
        assert_eq!(ports.expose("x").unwrap_err(), "invalid range format for --expose: x");
    }
}
