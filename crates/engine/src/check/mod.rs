//! Whether what is asked for makes sense: everything that can be known before anything is made, in Docker's sentences.
//!
//! What contradicts itself names both flags. What this host merely can't do is a warning where Docker warns.

mod config;
mod host;
mod modes;
mod parse;
mod resources;
mod sysctl;

use crate::config::CreateConfig;
use crate::error::Error;
use crate::spec::Host;

pub use parse::{ULIMITS, bytes, device, device_rule, ulimit};

/// Why a request makes no sense: one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Error {
        Error::Invalid(invalid.0)
    }
}

type Checked = Result<(), Invalid>;

fn invalid(text: impl Into<String>) -> Checked {
    Err(Invalid(text.into()))
}

/// Checks a request, before the image is looked at.
///
/// # Errors
/// The first thing that makes no sense.
pub fn check(config: &CreateConfig, host: &Host) -> Result<Vec<String>, Invalid> {
    config::check(&config.config)?;
    host::check(&config.host_config)?;
    modes::check(config, host)?;
    sysctl::check(&config.host_config, host)?;
    resources::check(&config.host_config, host)
}

/// Fills in what Docker fills in, so that `inspect` shows what is in force.
pub fn complete(config: &mut CreateConfig, id: &str, host: &Host) {
    let own = &mut config.host_config;
    if config.config.hostname.is_empty()
        && own.uts_mode != "host"
        && !own.network_mode.starts_with("container:")
    {
        config.config.hostname = match own.network_mode == "host" {
            true => rustix::system::uname().nodename().to_string_lossy().into_owned(),
            false => id.get(..12).unwrap_or(id).to_owned(),
        };
    }
    let default = |field: &mut String, value: &str| {
        if field.is_empty() {
            value.clone_into(field);
        }
    };
    if own.network_mode == "default" || own.network_mode.is_empty() {
        own.network_mode = match host.rootless {
            // The better one is what `start` asks for where there is none yet.
            true => network::UserMode::installed().unwrap_or(network::UserMode::Pasta).name().into(),
            false => "bridge".into(),
        };
    }
    default(&mut own.ipc_mode, "private");
    default(&mut own.cgroupns_mode, if host.unified { "private" } else { "host" });
    default(&mut own.restart_policy.name, "no");
    if own.shm_size == 0 && own.ipc_mode != "host" {
        own.shm_size = crate::spec::DEFAULT_SHM;
    }
    let limits = &mut own.resources;
    // As much swap as memory, unless something else is said.
    if limits.memory > 0 && limits.memory_swap == 0 {
        limits.memory_swap = limits.memory.saturating_mul(2);
    }
    if limits.memory_swappiness == Some(-1) {
        limits.memory_swappiness = None;
    }
    if (1..2).contains(&limits.cpu_shares) {
        limits.cpu_shares = 2;
    }
    limits.cpu_shares = limits.cpu_shares.clamp(0, 262_144);
    if limits.pids_limit.is_some_and(|limit| limit <= 0) {
        limits.pids_limit = None;
    }
    let open = own.privileged || own.security_opt.iter().any(|option| option == "systempaths=unconfined");
    if !open {
        own.masked_paths.get_or_insert_with(|| host.masked_paths.clone());
        own.readonly_paths.get_or_insert_with(|| crate::spec::READONLY_PATHS.map(str::to_owned).into());
    }
}

#[cfg(test)]
mod tests;
