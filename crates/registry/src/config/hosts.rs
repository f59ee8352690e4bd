//! `certs.d`: containerd's `hosts.toml`, and the directories of CA and client certificates that Docker and the
//! containers project read.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::TlsFiles;
use crate::file::{FileError, read_optional, with_extension};

/// A server that speaks for a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEntry {
    /// `https://host[:port][/path]` or `http://…`; without a scheme where the file gives none.
    pub url: String,
    /// What it may be used for.
    pub capabilities: Capabilities,
    /// True where the path of `url` is used as it is, without `/v2`.
    pub override_path: bool,
    /// Certificates and whether to check the server's.
    pub tls: TlsFiles,
    /// Sent with every request to it.
    pub headers: Vec<(String, String)>,
    /// True for a `[host]` table, false for `server`.
    pub mirror: bool,
}

/// What a server may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Blobs, and manifests by digest.
    pub pull: bool,
    /// Which digest a tag means now.
    pub resolve: bool,
    /// Uploads.
    pub push: bool,
}

impl Capabilities {
    /// Everything.
    pub const ALL: Capabilities = Capabilities { pull: true, resolve: true, push: true };
}

/// The servers that `directories` (of containerd's form) name for `host`, or `None` where no file does.
pub(crate) fn load(directories: &[PathBuf], host: &str) -> Result<Option<Vec<HostEntry>>, FileError> {
    // containerd writes a port as host_port_ where a colon is no good file name.
    let escaped = host.replace(':', "_") + if host.contains(':') { "_" } else { "" };
    for name in [host, &escaped, "_default"] {
        for directory in directories {
            let path = directory.join(name).join("hosts.toml");
            if let Some(text) = read_optional(&path)? {
                let base = directory.join(name);
                let hosts = parse(&text, &base, host).map_err(|reason| FileError::syntax(&path, reason))?;
                return Ok(Some(hosts));
            }
        }
    }
    Ok(None)
}

/// Certificates in Docker's form: `*.crt` are CAs, `x.cert` with `x.key` identify the client.
pub(crate) fn certificates(directories: &[PathBuf], host: &str) -> Result<TlsFiles, FileError> {
    let mut tls = TlsFiles::default();
    for directory in directories {
        let directory = directory.join(host);
        tls.ca.extend(with_extension(&directory, "crt")?);
        for certificate in with_extension(&directory, "cert")? {
            let key = certificate.with_extension("key");
            if !key.exists() {
                let reason = format!("has no key beside it: {} is missing", key.display());
                return Err(FileError::Syntax { path: certificate, reason });
            }
            tls.client = Some((certificate, key));
        }
    }
    Ok(tls)
}

fn parse(text: &str, base: &Path, host: &str) -> Result<Vec<HostEntry>, String> {
    let file: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let mut hosts = Vec::new();
    if let Some(tables) = file.get("host") {
        for (url, table) in tables.as_table().ok_or("host: not a table")? {
            let table = table.as_table().ok_or_else(|| format!("host.{url:?}: not a table"))?;
            hosts.push(entry(url, table, base, true).map_err(|reason| format!("host.{url:?}: {reason}"))?);
        }
    }
    let server = match file.get("server") {
        Some(server) => server.as_str().ok_or("server: not a string")?,
        None => host,
    };
    hosts.push(entry(server, &file, base, false)?);
    Ok(hosts)
}

fn entry(url: &str, table: &Table, base: &Path, mirror: bool) -> Result<HostEntry, String> {
    let skip_verify = boolean(table, "skip_verify")?;
    let paths = |value: &Value| -> Result<Vec<PathBuf>, String> {
        Ok(strings(value)?.iter().map(|path| base.join(path)).collect())
    };
    let ca = table.get("ca").map(paths).transpose().map_err(|reason| format!("ca: {reason}"))?;
    let client = table.get("client").map(|value| client_pair(value, base)).transpose()?.flatten();
    let headers = match table.get("header") {
        Some(value) => headers(value)?,
        None => Vec::new(),
    };
    Ok(HostEntry {
        url: url.trim_end_matches('/').to_owned(),
        capabilities: table.get("capabilities").map_or(Ok(Capabilities::ALL), capabilities)?,
        override_path: boolean(table, "override_path")?,
        tls: TlsFiles { ca: ca.unwrap_or_default(), client, skip_verify },
        headers,
        mirror,
    })
}

fn boolean(table: &Table, key: &str) -> Result<bool, String> {
    match table.get(key) {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| format!("{key}: not a boolean")),
    }
}

fn strings(value: &Value) -> Result<Vec<String>, String> {
    let one = |value: &Value| value.as_str().map(str::to_owned).ok_or("not a string".to_owned());
    match value {
        Value::Array(values) => values.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

/// `"both.pem"`, `["both.pem"]`, or `[["certificate", "key"]]`; the first pair is used.
fn client_pair(value: &Value, base: &Path) -> Result<Option<(PathBuf, PathBuf)>, String> {
    let first = match value {
        Value::Array(values) => match values.first() {
            Some(first) => first,
            None => return Ok(None),
        },
        value => value,
    };
    let pair = strings(first).map_err(|reason| format!("client: {reason}"))?;
    match pair.as_slice() {
        [both] => Ok(Some((base.join(both), base.join(both)))),
        [certificate, key] if key.is_empty() => Ok(Some((base.join(certificate), base.join(certificate)))),
        [certificate, key] => Ok(Some((base.join(certificate), base.join(key)))),
        _ => Err("client: a pair of certificate and key is wanted".to_owned()),
    }
}

fn capabilities(value: &Value) -> Result<Capabilities, String> {
    let mut capabilities = Capabilities { pull: false, resolve: false, push: false };
    for name in strings(value).map_err(|reason| format!("capabilities: {reason}"))? {
        match name.to_ascii_lowercase().as_str() {
            "pull" => capabilities.pull = true,
            "resolve" => capabilities.resolve = true,
            "push" => capabilities.push = true,
            _ => return Err(format!("capabilities: unknown {name:?} (pull, resolve, push)")),
        }
    }
    Ok(capabilities)
}

fn headers(value: &Value) -> Result<Vec<(String, String)>, String> {
    let mut headers = Vec::new();
    for (name, value) in value.as_table().ok_or("header: not a table")? {
        for value in strings(value).map_err(|reason| format!("header.{name}: {reason}"))? {
            headers.push((name.clone(), value));
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_keep_their_order_and_the_server_is_last() {
        let text = r#"
            server = "https://r.test"
            [host."https://z.test/mirror"]
            capabilities = ["pull", "resolve"]
            override_path = true
            ca = "ca.pem"
            client = [["c.pem", "/k.pem"]]
            [host."https://z.test/mirror".header]
            x-team = ["a", "b"]
            [host."http://a.test:5000"]
            skip_verify = true
        "#;
        let hosts = parse(text, Path::new("/certs"), "r.test").unwrap();
        let urls: Vec<&str> = hosts.iter().map(|host| host.url.as_str()).collect();
        assert_eq!(urls, ["https://z.test/mirror", "http://a.test:5000", "https://r.test"]);
        assert!(!hosts[0].capabilities.push && hosts[0].override_path);
        assert_eq!(hosts[0].tls.ca, [PathBuf::from("/certs/ca.pem")]);
        assert_eq!(hosts[0].tls.client, Some(("/certs/c.pem".into(), "/k.pem".into())));
        assert_eq!(hosts[0].headers.len(), 2);
        assert!(hosts[1].tls.skip_verify && hosts[1].mirror && !hosts[2].mirror);
    }

    #[test]
    fn without_a_server_the_registry_speaks_for_itself() {
        let hosts = parse("", Path::new("/"), "r.test:5000").unwrap();
        assert_eq!(hosts[0].url, "r.test:5000");
    }

    #[test]
    fn mistakes_are_told() {
        for text in ["server = 1", "[host.'x']\ncapabilities = ['fly']", "[host.'x']\nca = 1", "host = 1"] {
            assert!(parse(text, Path::new("/"), "r").is_err(), "{text}");
        }
    }
}
