//! `berth gc`

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use store::GcOptions;

use super::Outcome;
use super::context::Context;
use super::output::{print, units};

#[derive(Args)]
pub struct Gc {
    /// Keep the newest of what nothing refers to, up to this size
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    keep_bytes: Option<u64>,
    /// Keep what was used within this time
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    keep_since: Option<Duration>,
}

impl Gc {
    pub fn run(self, context: &Context) -> Outcome {
        let options = GcOptions { keep_since: self.keep_since, keep_bytes: self.keep_bytes };
        let (collected, layers) = context.images()?.gc(options)?;
        let mut text: String = collected.blobs.iter().map(|digest| format!("deleted: {digest}\n")).collect();
        text.extend(layers.iter().map(|layer| format!("deleted layer: {}\n", layer.chain_id)));
        let freed = collected.bytes + layers.iter().map(|layer| layer.bytes).sum::<u64>();
        print(&format!("{text}Total reclaimed space: {}\n", units::size(freed, 4)))?;
        Ok(ExitCode::SUCCESS)
    }
}
