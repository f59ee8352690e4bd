//! `berth container inspect`

use clap::Args;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::inspect::{Found, show};

#[derive(Args)]
pub struct Inspect {
    /// A Go template, or `json`
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show sizes
    #[arg(short, long)]
    size: bool,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Inspect {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        show(&self.containers, self.format.as_deref(), |name| {
            Ok(engine.inspect(&engine.find(name)?, self.size)?)
        })
    }
}

/// The container of this name, if there is one.
pub fn find(context: &Context, name: &str, size: bool) -> Found {
    let engine = context.engine()?;
    match engine.find(name) {
        Ok(container) => Ok(Some(serde_json::to_value(engine.inspect(&container, size)?)?)),
        Err(engine::Error::NoSuchContainer(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
