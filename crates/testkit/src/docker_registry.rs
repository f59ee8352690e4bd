//! Debian's `docker-registry` on a free port of loopback, with a directory of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use crate::Testbed;

/// The user that [`DockerRegistry::with_password`] knows.
pub const USER: &str = "ali";
/// The password of [`USER`].
pub const PASSWORD: &str = "open sesame";
/// The bcrypt hash of [`PASSWORD`].
const HASH: &str = "$2b$04$wnvNwXs6ra8ByZvXwrb/nuX8uHudoYiffOfHAtdm8bxcbLQ2ZWIpi";

/// A running registry, killed when dropped.
#[derive(Debug)]
pub struct DockerRegistry {
    child: Child,
    log: Option<JoinHandle<()>>,
    address: String,
}

impl DockerRegistry {
    /// A registry that everyone may use.
    ///
    /// # Panics
    /// Where `docker-registry` (Debian's package of that name) is not installed.
    #[must_use]
    pub fn start(bed: &Testbed) -> Self {
        Self::with_config(bed, "")
    }

    /// A registry that only [`USER`] with [`PASSWORD`] may use.
    ///
    /// # Panics
    /// As [`DockerRegistry::start`].
    #[must_use]
    pub fn with_password(bed: &Testbed) -> Self {
        let users = bed.new_file("htpasswd");
        fs::write(&users, format!("{USER}:{HASH}\n")).expect("write htpasswd");
        Self::with_config(bed, &format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", users.display()))
    }

    /// A registry that speaks TLS with this certificate and key.
    ///
    /// # Panics
    /// As [`DockerRegistry::start`].
    #[must_use]
    pub fn with_tls(bed: &Testbed, certificate: &Path, key: &Path) -> Self {
        let tls = format!(", tls: {{certificate: {}, key: {}}}", certificate.display(), key.display());
        Self::spawn(bed, "", &tls)
    }

    fn with_config(bed: &Testbed, more: &str) -> Self {
        Self::spawn(bed, more, "")
    }

    fn spawn(bed: &Testbed, more: &str, http: &str) -> Self {
        let data = bed.new_file("registry");
        let config = bed.new_file("registry.yml");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '127.0.0.1:0'{http}}}\n{more}",
            data.display()
        );
        fs::write(&config, text).expect("write the registry's configuration");
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start docker-registry (apt install docker-registry)");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let mut seen = Vec::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else { panic!("docker-registry ended: {}", seen.join("\n")) };
            if let Some((_, rest)) = line.split_once("listening on ") {
                let end = rest.find([' ', '"', ',']).unwrap_or(rest.len());
                break rest[..end].to_owned();
            }
            seen.push(line);
        };
        // A full pipe would stop the registry.
        let log = std::thread::spawn(move || lines.for_each(drop));
        Self { child, log: Some(log), address }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(log) = self.log.take() {
            let _ = log.join();
        }
    }
}
