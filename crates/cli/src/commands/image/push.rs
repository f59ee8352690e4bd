//! `berth push`

use std::process::ExitCode;

use clap::Args;
use image::{Image, Platforms};
use oci::Reference;
use oci::image::Platform;
use registry::Patience;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::progress::{Direction, of_layers};
use crate::commands::output::{Stream, print};

#[derive(Args)]
pub struct Push {
    /// The platform whose image to push where the images of others are not here
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Push all tags of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Print the image's name only
    #[arg(short, long)]
    quiet: bool,
    /// NAME[:TAG]
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
}

impl Push {
    pub fn run(self, context: &Context) -> Outcome {
        let images = context.images()?;
        let wanted = context.local_candidates(&self.name)?;
        let destinations: Vec<(Image, Reference)> = match self.all_tags {
            false => {
                let image = images.find(&self.name, &wanted)?;
                let named = wanted.into_iter().find(|name| image.names.contains(&name.to_string()));
                let name = named.ok_or("an image is pushed by its name: give it one with `berth tag`")?;
                vec![(image, name)]
            }
            true => {
                let repositories: Vec<String> = wanted.iter().map(Reference::name).collect();
                let listed = images.list(&[])?.into_iter().filter_map(|line| line.reference);
                let tags = listed.filter(|name| name.tag().is_some() && repositories.contains(&name.name()));
                tags.map(|name| Ok((images.find(&name.to_string(), std::slice::from_ref(&name))?, name)))
                    .collect::<image::Result<_>>()?
            }
        };
        if destinations.is_empty() {
            return Err(Box::new(image::Error::NotFound(self.name)));
        }
        if !self.quiet {
            print(&format!("The push refers to repository [{}]\n", destinations[0].1.name()))?;
        }
        for (image, destination) in &destinations {
            let push = image::Push {
                images: images.clone(),
                config: context.config()?,
                platforms: self.platform.clone().map_or_else(Platforms::default, Platforms::One),
                patience: Patience::default(),
                progress: of_layers(Direction::Push, (!self.quiet).then_some(Stream::Stdout)),
            };
            let pushed = push.run(image, destination)?;
            let (tag, target) = (destination.tag().unwrap_or_default(), pushed.target);
            match self.quiet {
                true => print(&format!("{destination}\n"))?,
                false => print(&format!("{tag}: digest: {} size: {}\n", target.digest, target.size))?,
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
