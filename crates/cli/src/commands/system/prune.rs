//! `berth system prune`

use std::process::ExitCode;

use clap::Args;
use engine::Filters;
use jiff::Timestamp;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::{print, prompt, units};
use crate::commands::values::instant;
use crate::commands::{image, volume};

#[derive(Args)]
pub struct Prune {
    /// Remove all images that no container uses, not only those without a name
    #[arg(short, long)]
    all: bool,
    /// Remove what fits: label=NAME[=VALUE], label!=NAME[=VALUE], until=TIME
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Don't ask
    #[arg(short, long)]
    force: bool,
    /// Remove anonymous volumes that no container uses as well
    #[arg(long)]
    volumes: bool,
}

impl Prune {
    pub fn run(self, context: &Context) -> Outcome {
        let filters = Filters::parse(self.filter.iter().map(String::as_str))?;
        if self.volumes && !filters.get("until").is_empty() {
            return Err(
                "the filter until does not go with --volumes: volumes have no time of their last use".into(),
            );
        }
        let images = context.images()?;
        let image_filters =
            image::filter::parse(context, &images, &self.filter, &["label", "label!", "until"])?;
        if !self.force && !prompt::confirm(&self.question())? {
            return Ok(ExitCode::SUCCESS);
        }
        let engine = context.engine()?;
        let until = filters.get("until").iter().map(|time| instant(time, Timestamp::now()));
        let until = until.collect::<Result<Vec<_>, _>>()?.into_iter().min();
        let containers = engine.prune(&filters, until)?;
        let mut freed = containers.bytes;
        let mut text = listed("Deleted Containers:", &containers.removed);
        if self.volumes {
            let volumes = context.volumes().prune(false, &filters, &|| volume::users(&engine))?;
            freed += volumes.reclaimed;
            text += &listed("Deleted Volumes:", &volumes.volumes);
        }
        let (images, bytes) = image::prune::prune(context, &images, self.all, &image_filters)?;
        text += &images;
        freed += bytes;
        print(&format!("{text}Total reclaimed space: {}\n", units::size(freed, 4)))?;
        Ok(ExitCode::SUCCESS)
    }

    fn question(&self) -> String {
        let mut what = vec!["all stopped containers"];
        what.extend(self.volumes.then_some("all anonymous volumes not used by at least one container"));
        what.push(match self.all {
            true => "all images without at least one container associated to them",
            false => "all dangling images",
        });
        let what: String = what.iter().map(|line| format!("  - {line}\n")).collect();
        let filters = match self.filter.is_empty() {
            true => String::new(),
            false => format!("\nItems to be pruned will be filtered with:\n- {}\n", self.filter.join("\n- ")),
        };
        format!("WARNING! This will remove:\n{what}{filters}\nAre you sure you want to continue?")
    }
}

fn listed(heading: &str, names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    format!("{heading}\n{}\n\n", names.join("\n"))
}
