//! `berth network trace-dns`

use std::process::ExitCode;

use clap::Args;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::format::{pretty, table};
use crate::commands::output::print;

#[derive(Args)]
pub struct TraceDns {
    /// As data
    #[arg(long)]
    json: bool,
    /// The container that asks
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// What it asks for
    #[arg(value_name = "NAME")]
    name: String,
}

impl TraceDns {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        let trace = engine.networks().trace_dns(&container.id, &self.name)?;
        if self.json {
            print(&(pretty(&trace)? + "\n"))?;
        } else {
            let header = std::iter::once("STEP\tOUTCOME\tTIME".to_owned());
            let line = |step: &network::TraceStep| {
                format!("{}\t{}\t{} µs", step.place, step.outcome, step.microseconds)
            };
            let lines: Vec<String> = header.chain(trace.steps.iter().map(line)).collect();
            print(&table(&lines))?;
        }
        let found = !trace.addresses.is_empty();
        Ok(if found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
