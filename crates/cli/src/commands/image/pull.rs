//! `berth pull`

use std::process::ExitCode;

use clap::Args;
use image::{Builtin, Platforms};
use oci::Reference;
use oci::image::Platform;
use registry::Patience;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::print;
use crate::commands::output::progress::{Direction, of_layers};

#[derive(Args)]
pub struct Pull {
    /// The platform whose image to take, as os/architecture[/variant] [default: this host's]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Take the images of all platforms
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,
    /// Drop the compressed layers once they are unpacked
    #[arg(long)]
    discard_blobs: bool,
    /// Print the image's name only
    #[arg(short, long)]
    quiet: bool,
    /// NAME[:TAG|@DIGEST]
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: String,
}

impl Pull {
    pub fn run(self, context: &Context) -> Outcome {
        if let Some(builtin) = Builtin::named(&self.name) {
            return self.take_builtin(context, builtin);
        }
        let config = context.config()?;
        let candidates = context.candidates(&config, &self.name)?;
        if !self.quiet {
            announce(&self.name, &candidates)?;
        }
        let platforms = match (self.platform, self.all_platforms) {
            (_, true) => Platforms::All,
            (Some(platform), false) => Platforms::One(platform),
            (None, false) => Platforms::default(),
        };
        let pull = image::Pull {
            images: context.images()?,
            config,
            policy: context.policy()?,
            platforms,
            discard_blobs: self.discard_blobs,
            patience: Patience::default(),
            progress: of_layers(Direction::Pull, self.quiet),
        };
        let pulled = pull.run(&candidates)?;
        let (name, familiar) = (&pulled.reference, pulled.reference.familiar());
        if self.quiet {
            print(&format!("{name}\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let status = if pulled.up_to_date { "Image is up to date" } else { "Downloaded newer image" };
        let digest = pulled.target.digest;
        print(&format!("Digest: {digest}\nStatus: {status} for {familiar}\n{name}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Pull {
    /// A built-in image comes from no registry.
    fn take_builtin(&self, context: &Context, builtin: Builtin) -> Outcome {
        let (image, name) = (context.images()?.builtin(builtin)?, builtin.reference());
        match self.quiet {
            true => print(&format!("{name}\n"))?,
            false => print(&format!(
                "Digest: {}\nStatus: {} is built in\n{name}\n",
                image.target.digest,
                name.familiar()
            ))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn announce(given: &str, candidates: &[Reference]) -> std::io::Result<()> {
    let Some(first) = candidates.first() else { return Ok(()) };
    let after_slash = given.rsplit('/').next().unwrap_or_default();
    if !after_slash.contains([':', '@']) {
        print("Using default tag: latest\n")?;
    }
    let what = first.digest().map_or_else(|| first.tag().unwrap_or_default().to_owned(), ToString::to_string);
    print(&format!("{what}: Pulling from {}\n", first.path()))
}
