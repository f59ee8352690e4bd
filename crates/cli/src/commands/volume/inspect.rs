//! `berth volume inspect`

use clap::Args;
use engine::volumes::VolumeError;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::inspect::{Found, show};

#[derive(Args)]
pub struct Inspect {
    /// A Go template, or `json`
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Names
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

impl Inspect {
    pub fn run(self, context: &Context) -> Outcome {
        let volumes = context.volumes();
        show(&self.volumes, self.format.as_deref(), |name| Ok(volumes.get(name)?.inspect()))
    }
}

/// The volume of this name, if there is one.
pub fn find(context: &Context, name: &str) -> Found {
    match context.volumes().get(name) {
        Ok(volume) => Ok(Some(serde_json::to_value(volume.inspect())?)),
        Err(VolumeError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
