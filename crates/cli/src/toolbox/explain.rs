//! `berth explain`.

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
        output::answer(self.json, &page, || if self.html { render::html(&page) } else { render::text(&page) })
    }
}
