//! From a repository to the servers that have it: registries.conf first, then `hosts.toml` of each location.

use super::hosts::{self, Capabilities, HostEntry};
use super::{Config, ConfigError, Source, TlsFiles};
use crate::dns::is_localhost;

/// Docker's name for its hub, and where its API really is.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// How to speak to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// TLS.
    Https,
    /// Plain HTTP, as configured.
    Http,
    /// TLS, and plain HTTP where the other side speaks no TLS: loopback, or configured as insecure.
    HttpsOrHttp,
}

/// One server, and the repository's name on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How to speak to it.
    pub scheme: Scheme,
    /// Host and optional port.
    pub authority: String,
    /// What every path begins with: `/v2` or what `override_path` says.
    pub base_path: String,
    /// The repository on that server.
    pub repository: String,
    /// The registry that the server is a mirror of, sent as `?ns=`.
    pub namespace: Option<String>,
    /// Whose credentials to use.
    pub credentials_host: String,
    /// What it may be asked.
    pub capabilities: Capabilities,
    /// Certificates.
    pub tls: TlsFiles,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// True for a mirror: its failure is no failure of the pull.
    pub mirror: bool,
}

impl Config {
    /// The servers to try for `repository` of `host`, best first.
    pub fn endpoints(
        &self,
        host: &str,
        repository: &str,
        by_digest: bool,
    ) -> Result<Vec<Endpoint>, ConfigError> {
        let mut endpoints = Vec::new();
        for source in self.registries.sources(&format!("{host}/{repository}"), by_digest)? {
            endpoints.extend(self.endpoints_of_source(&source)?);
        }
        Ok(endpoints)
    }

    fn endpoints_of_source(&self, source: &Source) -> Result<Vec<Endpoint>, ConfigError> {
        let (host, repository) = source.location.split_once('/').unwrap_or((&source.location, ""));
        let certificates = hosts::certificates(&self.certificate_directories, host)?;
        let direct = || HostEntry {
            url: host.to_owned(),
            capabilities: Capabilities::ALL,
            override_path: false,
            tls: TlsFiles::default(),
            headers: Vec::new(),
            mirror: false,
        };
        let entries = hosts::load(&self.hosts_directories, host)?.unwrap_or_else(|| vec![direct()]);
        let insecure = source.insecure || self.insecure;
        let endpoints = entries.into_iter().map(|entry| {
            let mut endpoint = endpoint(entry, host, repository, insecure);
            if endpoint.credentials_host == host {
                endpoint.tls.ca.extend(certificates.ca.iter().cloned());
                endpoint.tls.client = endpoint.tls.client.or_else(|| certificates.client.clone());
            }
            endpoint.mirror |= source.mirror;
            endpoint
        });
        Ok(endpoints.collect())
    }
}

fn endpoint(entry: HostEntry, host: &str, repository: &str, insecure: bool) -> Endpoint {
    let (scheme, rest) = match entry.url.split_once("://") {
        Some(("http", rest)) => (Some(Scheme::Http), rest),
        Some((_, rest)) => (Some(Scheme::Https), rest),
        None => (None, entry.url.as_str()),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let credentials_host = if entry.mirror { authority } else { host }.to_owned();
    let authority = if authority == DOCKER_HUB.0 { DOCKER_HUB.1 } else { authority }.to_owned();
    let base_path = match path {
        path if entry.override_path => path.to_owned(),
        path if path == "/v2" || path.starts_with("/v2/") => path.to_owned(),
        path => format!("/v2{path}"),
    };
    let lenient = insecure || is_loopback(&authority);
    let scheme = match scheme {
        Some(Scheme::Http) => Scheme::Http,
        Some(_) if !insecure => Scheme::Https,
        _ if lenient => Scheme::HttpsOrHttp,
        _ => Scheme::Https,
    };
    Endpoint {
        scheme,
        base_path,
        repository: repository.to_owned(),
        namespace: entry.mirror.then(|| host.to_owned()),
        credentials_host,
        capabilities: entry.capabilities,
        tls: TlsFiles { skip_verify: entry.tls.skip_verify || insecure, ..entry.tls },
        headers: entry.headers,
        mirror: entry.mirror,
        authority,
    }
}

/// True where `authority` can only be this host, so that plain HTTP meets no eavesdropper.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => is_localhost(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(host: &str) -> Endpoint {
        let mut endpoints = Config::default().endpoints(host, "a/b", false).unwrap();
        assert_eq!(endpoints.len(), 1);
        endpoints.remove(0)
    }

    #[test]
    fn plain_http_is_for_loopback_alone() {
        for host in
            ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "x.localhost:1"]
        {
            assert_eq!(only(host).scheme, Scheme::HttpsOrHttp, "{host}");
        }
        for host in
            ["r.test", "r.test:5000", "192.168.1.1:5000", "localhost.evil.test", "127.0.0.1.evil.test:80"]
        {
            assert_eq!(only(host).scheme, Scheme::Https, "{host}");
        }
        let config = Config { insecure: true, ..Config::default() };
        let endpoint = &config.endpoints("r.test", "a", false).unwrap()[0];
        assert_eq!((endpoint.scheme, endpoint.tls.skip_verify), (Scheme::HttpsOrHttp, true));
    }

    #[test]
    fn the_hub_lives_elsewhere_but_keeps_its_credentials() {
        let endpoint = only("docker.io");
        assert_eq!(endpoint.authority, "registry-1.docker.io");
        assert_eq!(endpoint.credentials_host, "docker.io");
        assert_eq!(endpoint.base_path, "/v2");
    }

    #[test]
    fn a_mirror_of_hosts_toml_is_told_whom_it_stands_for() {
        let directory = std::env::temp_dir().join(format!("certs.d.{}", std::process::id()));
        std::fs::create_dir_all(directory.join("docker.io")).unwrap();
        let text = "server = 'https://registry-1.docker.io'\n[host.'http://m.test:5000/hub']\ncapabilities=['pull']\n";
        std::fs::write(directory.join("docker.io/hosts.toml"), text).unwrap();
        let config = Config { hosts_directories: vec![directory.clone()], ..Config::default() };
        let endpoints = config.endpoints("docker.io", "library/x", false).unwrap();
        std::fs::remove_dir_all(directory).unwrap();
        assert_eq!(endpoints.len(), 2);
        assert_eq!(endpoints[0].base_path, "/v2/hub");
        assert_eq!(endpoints[0].scheme, Scheme::Http);
        assert_eq!(endpoints[0].namespace.as_deref(), Some("docker.io"));
        assert_eq!(endpoints[0].credentials_host, "m.test:5000");
        assert_eq!(endpoints[1].authority, "registry-1.docker.io");
        assert_eq!(endpoints[1].namespace, None);
    }
}
