//! `berth explain`.

use std::path::PathBuf;

use clap::Args;
use toolbox::containers::Containers;
use toolbox::explain::{Page, render};

use super::{Outcome, denials, output};

#[derive(Args)]
pub struct Arguments {
    /// JSON
    #[arg(long)]
    json: bool,
    /// An HTML page
    #[arg(long, conflicts_with = "json")]
    html: bool,
    /// What isolation denied a container's processes and why: all of it where it was run with --explain-denials, else
    /// what counters and the kernel's log tell
    #[arg(long, conflicts_with = "html")]
    last_denial: bool,
    /// Where containers are kept, for --last-denial
    #[arg(long, value_name = "DIR", requires = "last_denial")]
    root: Option<PathBuf>,
    /// A process id or a container
    target: String,
}

impl Arguments {
    pub fn run(self) -> Outcome {
        if self.last_denial {
            return denials::explain(self.root, &self.target, self.json);
        }
        let containers = Containers::read();
        let page = Page::of_process(containers.resolve(&self.target)?, &containers)?;
        output::answer(self.json, &page, || if self.html { render::html(&page) } else { render::text(&page) })
    }
}
