//! `berth commit`

use std::process::ExitCode;

use clap::Args;
use engine::Commit as Request;
use oci::Reference;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::print;

#[derive(Args)]
pub struct Commit {
    /// Who made the image
    #[arg(short, long, value_name = "NAME", default_value = "")]
    author: String,
    /// A note for its history
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    message: String,
    /// Follow an instruction of a Dockerfile that changes the configuration
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// The container stands still meanwhile
    #[arg(short, long, value_name = "BOOL", default_value = "true", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = clap::ArgAction::Set)]
    pause: bool,
    /// Name or id
    container: String,
    /// The image's name
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
}

impl Commit {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let name = match self.name.as_deref() {
            None | Some("") => None,
            Some(name) => Some(name.parse::<Reference>()?.with_default_tag()),
        };
        let request = Request {
            author: self.author,
            message: self.message,
            changes: self.change,
            name,
            pause: self.pause,
        };
        let id = engine.commit(&engine.find(&self.container)?, &request)?;
        print(&format!("{id}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}
