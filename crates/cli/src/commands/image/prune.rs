//! `berth image prune`

use std::collections::HashSet;
use std::error::Error;
use std::process::ExitCode;

use clap::Args;
use image::{Filter, Images};
use oci::image::Digest;
use store::GcOptions;

use super::filter;
use super::rm::familiar;
use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::{print, prompt, units};

#[derive(Args)]
pub struct Prune {
    /// Remove all images that no container uses, not only those without a name
    #[arg(short, long)]
    all: bool,
    /// Remove only those that fit: until=TIME, label=NAME[=VALUE], label!=NAME[=VALUE], dangling=BOOL
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Don't ask
    #[arg(short, long)]
    force: bool,
}

impl Prune {
    pub fn run(self, context: &Context) -> Outcome {
        let images = context.images()?;
        let (flags, filters): (Vec<String>, Vec<String>) =
            self.filter.iter().cloned().partition(|filter| filter.starts_with("dangling="));
        // As with Docker, this filter is another way to say --all.
        let all =
            flags.last().map_or(self.all, |flag| matches!(flag.as_str(), "dangling=false" | "dangling=0"));
        let filters = filter::parse(context, &images, &filters, &["label", "label!", "until"])?;
        let what = if all { "all images without a container" } else { "all dangling images" };
        let question = "Are you sure you want to continue?";
        if !self.force && !prompt::confirm(&format!("WARNING! This will remove {what}.\n{question}"))? {
            return Ok(ExitCode::SUCCESS);
        }
        let (text, freed) = prune(context, &images, all, &filters)?;
        print(&format!("{text}Total reclaimed space: {}\n", units::size(freed, 4)))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Removes images; what is to be told of it, and the bytes that were freed.
pub fn prune(
    context: &Context,
    images: &Images,
    all: bool,
    filters: &[Filter],
) -> Result<(String, u64), Box<dyn Error>> {
    let mut in_use: HashSet<_> = images.in_use()?;
    in_use.extend(context.image_users()?.iter().filter_map(|(image, _)| image.parse::<Digest>().ok()));
    let removed = images.prune(all, &in_use, filters)?;
    let (collected, layers) = images.gc(GcOptions::default())?;
    let mut text = String::new();
    if !removed.deleted.is_empty() {
        text += "Deleted Images:\n";
        text.extend(removed.untagged.iter().map(|name| format!("untagged: {}\n", familiar(name))));
        text.extend(removed.deleted.iter().map(|digest| format!("deleted: {digest}\n")));
        text += "\n";
    }
    let freed = collected.bytes + layers.iter().map(|layer| layer.bytes).sum::<u64>();
    Ok((text, freed))
}
