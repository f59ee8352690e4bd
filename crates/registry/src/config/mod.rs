//! What files say about registries, and the servers that follow from it.

mod endpoint;
mod hosts;
mod registries;

use std::path::PathBuf;

pub use endpoint::{Endpoint, Scheme};
pub use hosts::{Capabilities, HostEntry};
pub use registries::{RegistriesConf, Source};

use crate::auth::CredentialFiles;
use crate::dns::Resolver;
use crate::file::FileError;
use crate::proxy::Proxies;

/// Why the configuration gives no server.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file can't be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// registries.conf forbids the registry.
    #[error("{repository} is blocked by [[registry]] {prefix:?} of registries.conf")]
    Blocked {
        /// What was asked for.
        repository: String,
        /// The table that says so.
        prefix: String,
    },
    /// registries.conf forbids to guess.
    #[error("{name} is a short name of several images: {candidates}; name the registry, or set an alias")]
    AmbiguousShortName {
        /// What was asked for.
        name: String,
        /// What it may mean, comma separated.
        candidates: String,
    },
}

/// Files of one TLS connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// CA certificates beside the host's own.
    pub ca: Vec<PathBuf>,
    /// The client's certificate and key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// True where the server's certificate isn't checked.
    pub skip_verify: bool,
}

/// Everything that a client has to know before it meets a registry.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// registries.conf with its drop-ins.
    pub registries: RegistriesConf,
    /// Directories with `HOST/hosts.toml`.
    pub hosts_directories: Vec<PathBuf>,
    /// Directories with `HOST/*.crt`, `*.cert` and `*.key`.
    pub certificate_directories: Vec<PathBuf>,
    /// Who one is.
    pub credentials: CredentialFiles,
    /// How names become addresses.
    pub resolver: Resolver,
    /// What stands between here and there.
    pub proxies: Proxies,
    /// Treat every registry as if it were configured as insecure.
    pub insecure: bool,
}

impl Config {
    /// The configuration of this host and user.
    pub fn from_environment() -> Result<Config, ConfigError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let user = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
        let user = user.map(|directory| directory.join("containers"));
        let system = PathBuf::from("/etc/containers");
        let (main, drop_ins) = match variable("CONTAINERS_REGISTRIES_CONF") {
            Some(file) => (file, Vec::new()),
            None => {
                let own = user.as_ref().map(|user| user.join("registries.conf")).filter(|path| path.exists());
                let mut drop_ins = vec![system.join("registries.conf.d")];
                drop_ins.extend(user.as_ref().map(|user| user.join("registries.conf.d")));
                (own.unwrap_or_else(|| system.join("registries.conf")), drop_ins)
            }
        };
        let mut certificate_directories = vec![system.join("certs.d"), "/etc/docker/certs.d".into()];
        certificate_directories.extend(user.map(|user| user.join("certs.d")));
        Ok(Config {
            registries: RegistriesConf::load(&main, &drop_ins)?,
            hosts_directories: vec!["/etc/containerd/certs.d".into()],
            certificate_directories,
            credentials: CredentialFiles::from_environment(),
            resolver: Resolver::default(),
            proxies: Proxies::from_environment(),
            insecure: false,
        })
    }
}
