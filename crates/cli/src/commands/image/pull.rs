//! `berth pull`

use std::error::Error;
use std::process::ExitCode;

use clap::Args;
use image::{Builtin, Platforms, Pulled};
use oci::Reference;
use oci::image::Platform;
use registry::Patience;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::progress::{Direction, of_layers};
use crate::commands::output::{Stream, print};

#[derive(Args)]
pub struct Pull {
    /// The platform whose image to take, as os/architecture[/variant] [default: this host's]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Take the images of all platforms
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,
    /// Pull every tag of the repository
    #[arg(short, long)]
    all_tags: bool,
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
        let platforms = match (self.platform, self.all_platforms) {
            (_, true) => Platforms::All,
            (Some(platform), false) => Platforms::One(platform),
            (None, false) => Platforms::default(),
        };
        let after_slash = self.name.rsplit('/').next().unwrap_or_default();
        let told = (!self.quiet).then_some(Stream::Stdout);
        if self.all_tags {
            if after_slash.contains([':', '@']) {
                return Err("tag can't be used with --all-tags/-a".into());
            }
            return pull_all_tags(context, &self.name, &platforms, self.discard_blobs, told);
        }
        if !self.quiet && !after_slash.contains([':', '@']) {
            print("Using default tag: latest\n")?;
        }
        let pulled = pull(context, &self.name, platforms, self.discard_blobs, told)?;
        print(&format!("{}\n", pulled.reference))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Pulls an image, and tells on a stream how that goes.
pub fn pull(
    context: &Context,
    name: &str,
    platforms: Platforms,
    discard_blobs: bool,
    told: Option<Stream>,
) -> Result<Pulled, Box<dyn Error>> {
    let config = context.config()?;
    let candidates = context.candidates(&config, name)?;
    if let Some(stream) = told {
        announce(stream, &candidates)?;
    }
    let pull = image::Pull {
        images: context.images()?,
        config,
        policy: context.policy()?,
        platforms,
        discard_blobs,
        patience: Patience::default(),
        progress: of_layers(Direction::Pull, told),
    };
    let pulled = pull.run(&candidates)?;
    if let Some(stream) = told {
        let status = if pulled.up_to_date { "Image is up to date" } else { "Downloaded newer image" };
        let (digest, name) = (pulled.target.digest, pulled.reference.familiar());
        stream.print(&format!("Digest: {digest}\nStatus: {status} for {name}\n"))?;
    }
    Ok(pulled)
}

fn pull_all_tags(
    context: &Context,
    name: &str,
    platforms: &Platforms,
    discard_blobs: bool,
    told: Option<Stream>,
) -> Outcome {
    let config = context.config()?;
    let (repository, tags) =
        image::remote_tags(&config, &context.candidates(&config, name)?, Patience::default())?;
    for tag in tags {
        let name = format!("{}:{tag}", repository.name());
        pull(context, &name, platforms.clone(), discard_blobs, told)?;
    }
    print(&format!("{}\n", repository.name()))?;
    Ok(ExitCode::SUCCESS)
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

fn announce(stream: Stream, candidates: &[Reference]) -> std::io::Result<()> {
    let Some(first) = candidates.first() else { return Ok(()) };
    let what = first.digest().map_or_else(|| first.tag().unwrap_or_default().to_owned(), ToString::to_string);
    stream.print(&format!("{what}: Pulling from {}\n", first.path()))
}
