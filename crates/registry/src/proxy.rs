//! Proxies from the environment, with the rules of Go's `httpproxy`, which people's settings are written for.

use std::net::IpAddr;

/// The proxy variables, in either case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://`.
    pub http: Option<String>,
    /// For `https://`.
    pub https: Option<String>,
    /// What is reached without: comma separated hosts, domains, addresses, networks, or `*`.
    pub exceptions: String,
}

impl Proxies {
    /// Reads `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`.
    pub fn from_environment() -> Proxies {
        let variable = |name: &str| {
            let value = std::env::var(name).or_else(|_| std::env::var(name.to_ascii_uppercase())).ok();
            value.filter(|value| !value.is_empty())
        };
        Proxies {
            http: variable("http_proxy").or_else(|| variable("all_proxy")),
            https: variable("https_proxy").or_else(|| variable("all_proxy")),
            exceptions: variable("no_proxy").unwrap_or_default(),
        }
    }

    /// The proxy for a connection, or `None` where it goes straight. This host itself is never proxied.
    pub(crate) fn select(&self, https: bool, host: &str, port: u16) -> Option<&str> {
        let proxy = if https { &self.https } else { &self.http }.as_deref()?;
        let host = host.trim_matches(['[', ']']);
        let address: Option<IpAddr> = host.parse().ok();
        if address.is_some_and(|address| address.is_loopback()) || crate::dns::is_localhost(host) {
            return None;
        }
        let excepted = self.exceptions.split(',').map(str::trim).filter(|rule| !rule.is_empty());
        let mut excepted = excepted.filter(|rule| matches(rule, host, address, port));
        if excepted.next().is_some() { None } else { Some(proxy) }
    }
}

fn matches(rule: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if rule == "*" {
        return true;
    }
    if let Some((network, bits)) = rule.split_once('/') {
        let (Ok(network), Ok(bits), Some(address)) = (network.parse(), bits.parse(), address) else {
            return false;
        };
        return in_network(address, network, bits);
    }
    let (rule, rule_port) = match rule.rsplit_once(':') {
        Some((name, rule_port)) if !name.contains(':') || name.ends_with(']') => {
            (name, rule_port.parse().ok())
        }
        _ => (rule, None),
    };
    if rule_port.is_some_and(|rule_port: u16| rule_port != port) {
        return false;
    }
    let rule = rule.trim_matches(['[', ']']);
    if let (Ok(rule), Some(address)) = (rule.parse::<IpAddr>(), address) {
        return rule == address;
    }
    let (rule, host) = (rule.to_ascii_lowercase(), host.trim_end_matches('.').to_ascii_lowercase());
    let rule = rule.strip_prefix('*').unwrap_or(&rule);
    match rule.strip_prefix('.') {
        Some(_) => host.ends_with(rule),
        None => host == rule || host.strip_suffix(rule).is_some_and(|rest| rest.ends_with('.')),
    }
}

fn in_network(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if bits <= 32 => {
            (address.to_bits() ^ network.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if bits <= 128 => {
            (address.to_bits() ^ network.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_follow_go() {
        let rules = "plain.test,.sub.test,*.star.test,10.0.0.0/8,[2001:db8::1],port.test:8080, 192.0.2.1 ";
        let proxies = Proxies { https: Some("http://p:3128".into()), exceptions: rules.into(), http: None };
        for (host, port, proxied) in [
            ("plain.test", 443, false),
            ("a.plain.test", 443, false),
            ("notplain.test", 443, true),
            ("sub.test", 443, true),
            ("a.sub.test", 443, false),
            ("a.star.test", 443, false),
            ("10.1.2.3", 443, false),
            ("11.1.2.3", 443, true),
            ("[2001:db8::1]", 443, false),
            ("port.test", 8080, false),
            ("port.test", 443, true),
            ("192.0.2.1", 443, false),
            ("localhost", 443, false),
            ("127.0.0.2", 443, false),
        ] {
            assert_eq!(proxies.select(true, host, port).is_some(), proxied, "{host}:{port}");
        }
        assert_eq!(proxies.select(false, "x.test", 80), None);
        let all = Proxies { exceptions: "*".into(), ..proxies };
        assert_eq!(all.select(true, "x.test", 443), None);
    }
}
