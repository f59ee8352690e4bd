//! `berth explain`.

use std::process::ExitCode;

use clap::Args;
use toolbox::containers::Containers;
use toolbox::explain::{Page, render};

use super::{Outcome, output};

#[derive(Args)]
pub struct Arguments {
    /// JSON
    #[arg(long)]
    json: bool,
    /// An HTML page
    #[arg(long, conflicts_with = "json")]
    html: bool,
    /// A process id or a container
    target: String,
}

impl Arguments {
    pub fn run(self) -> Outcome {
        let containers = Containers::read();
        let page = Page::of_process(containers.resolve(&self.target)?, &containers)?;
        if self.json {
            output::print_json(&page)?;
        } else if self.html {
            output::print(&render::html(&page))?;
        } else {
            output::print(&render::text(&page))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
