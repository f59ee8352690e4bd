//! `berth network inspect`

use clap::Args;
use network::{Error, ErrorKind};

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::inspect::{Found, show};

#[derive(Args)]
pub struct Inspect {
    /// A Go template, or `json`
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show more; there is no more
    #[arg(short, long)]
    verbose: bool,
    /// Names or ids
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

impl Inspect {
    pub fn run(self, context: &Context) -> Outcome {
        let networks = context.engine()?.networks();
        show(&self.networks, self.format.as_deref(), |name| Ok(networks.inspect(name)?))
    }
}

/// The network of this name or id, if there is one.
pub fn find(context: &Context, name: &str) -> Found {
    match context.engine()?.networks().inspect(name) {
        Ok(network) => Ok(Some(serde_json::to_value(network)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(Error::Ambiguous { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
