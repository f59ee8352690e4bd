//! `hosts(5)` and `resolv.conf(5)`, read without NSS.

use std::net::IpAddr;
use std::time::Duration;

/// The addresses that a hosts file gives `name`.
pub(super) fn hosts_entry(hosts: &str, name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in hosts.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else { continue };
        if words.any(|alias| alias.eq_ignore_ascii_case(name)) {
            found.push(address);
        }
    }
    found
}

/// How names are asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResolvConf {
    /// Where to ask, in order.
    pub nameservers: Vec<IpAddr>,
    /// Suffixes for names with fewer than `ndots` dots.
    pub search: Vec<String>,
    /// See `search`.
    pub ndots: usize,
    /// How long one question may take.
    pub timeout: Duration,
    /// How often the whole list of servers is asked.
    pub attempts: usize,
}

impl ResolvConf {
    /// Reads what resolv.conf(5) documents; unknown words are skipped as glibc skips them.
    pub(super) fn parse(text: &str) -> ResolvConf {
        let mut conf = ResolvConf {
            nameservers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address: Option<IpAddr> =
                        words.next().and_then(|word| word.split('%').next()?.parse().ok());
                    conf.nameservers.extend(address);
                }
                Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|word| conf.set_option(word)),
                _ => {}
            }
        }
        if conf.nameservers.is_empty() {
            conf.nameservers.push(IpAddr::from([127, 0, 0, 1]));
        }
        conf
    }

    fn set_option(&mut self, option: &str) {
        let Some((name, value)) = option.split_once(':') else { return };
        let Ok(value) = value.parse::<usize>() else { return };
        match name {
            "ndots" => self.ndots = value.min(15),
            "timeout" => self.timeout = Duration::from_secs(value.clamp(1, 30) as u64),
            "attempts" => self.attempts = value.clamp(1, 5),
            _ => {}
        }
    }

    /// The full names to ask for, in the order of `res_search(3)`.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let searched = self.search.iter().map(|suffix| format!("{name}.{suffix}"));
        let literal = std::iter::once(name.to_owned());
        if name.matches('.').count() >= self.ndots {
            literal.chain(searched).collect()
        } else {
            searched.chain(literal).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_give_every_address_of_an_alias() {
        let hosts = "127.0.0.1 localhost\n192.0.2.1\tmirror Mirror.lan # x\n2001:db8::1 mirror.lan\n# 10.0.0.1 mirror.lan\n";
        let expected: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(hosts_entry(hosts, "mirror.lan"), expected);
        assert!(hosts_entry(hosts, "lan").is_empty());
    }

    #[test]
    fn search_order_follows_ndots() {
        let conf = ResolvConf::parse(
            "nameserver fe80::1%eth0\nsearch a.test b.test\noptions ndots:2 timeout:1 rotate\n",
        );
        assert_eq!(conf.nameservers, ["fe80::1".parse::<IpAddr>().unwrap()]);
        assert_eq!(conf.timeout, Duration::from_secs(1));
        assert_eq!(conf.candidates("r.x"), ["r.x.a.test", "r.x.b.test", "r.x"]);
        assert_eq!(conf.candidates("r.x.y"), ["r.x.y", "r.x.y.a.test", "r.x.y.b.test"]);
        assert_eq!(conf.candidates("r.x."), ["r.x."]);
    }

    #[test]
    fn no_server_means_this_host() {
        assert_eq!(ResolvConf::parse("").nameservers, [IpAddr::from([127, 0, 0, 1])]);
    }
}
