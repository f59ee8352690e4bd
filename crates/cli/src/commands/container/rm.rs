//! `berth rm`

use clap::Args;
use engine::RemoveOptions;

use super::each;
use crate::commands::Outcome;
use crate::commands::context::Context;

#[derive(Args)]
pub struct Rm {
    /// Kill it first where it runs, and don't mind containers that are not here
    #[arg(short, long)]
    force: bool,
    /// Remove a link; there are none to remove
    #[arg(short, long, hide = true)]
    link: bool,
    /// Remove the volumes that were made for it alone
    #[arg(short, long)]
    volumes: bool,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Rm {
    pub fn run(self, context: &Context) -> Outcome {
        if self.link {
            return Err(
                "rm --link: containers find each other by the names of their networks, and no link is kept"
                    .into(),
            );
        }
        let engine = context.engine()?;
        let options = RemoveOptions { force: self.force, volumes: self.volumes };
        let present = |name: &String| !matches!(engine.find(name), Err(engine::Error::NoSuchContainer(_)));
        let names: Vec<String> =
            self.containers.into_iter().filter(|name| !options.force || present(name)).collect();
        each::at_once(&engine, &names, |container| engine.remove(container, options))
    }
}
