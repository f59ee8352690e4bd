//! `berth manifest …`

use std::process::ExitCode;

use clap::Args;
use image::{ManifestOptions, Platforms, RemoteManifest};
use oci::Reference;
use oci::image::Document;
use registry::Patience;

use super::Outcome;
use super::context::Context;
use super::entry::{Entry, command};
use super::output::progress::{Direction, of_layers};
use super::output::{format, print};

pub const COMMANDS: &[Entry] = &[
    command!("inspect", "Show a manifest or a list of manifests as a registry has it", Inspect),
    command!("create", "Make a list of images, one for each platform", Create),
    command!("push", "Upload a list with its images", Push),
];

#[derive(Args)]
pub struct Inspect {
    /// Show digests and sizes as well
    #[arg(short, long)]
    verbose: bool,
    /// NAME[:TAG|@DIGEST]
    name: String,
}

#[derive(Args)]
pub struct Create {
    /// Add to a list that is there already
    #[arg(short, long)]
    amend: bool,
    /// The name of the list
    list: String,
    /// The images, which have to be here
    #[arg(required = true)]
    images: Vec<String>,
}

#[derive(Args)]
pub struct Push {
    /// Remove the list here after it was pushed
    #[arg(short, long)]
    purge: bool,
    /// The name of the list
    list: String,
}

impl Inspect {
    fn run(self, context: &Context) -> Outcome {
        let config = context.config()?;
        let candidates = context.candidates(&config, &self.name)?;
        let found = RemoteManifest::fetch(&config, &candidates, Patience::default())?;
        let document: serde_json::Value = serde_json::from_slice(&found.bytes)?;
        let shown = match self.verbose {
            false => document,
            true => {
                let key = match found.document {
                    Document::Manifest(_) => "Manifest",
                    Document::Index(_) => "Index",
                };
                serde_json::json!({ "Ref": found.reference, "Descriptor": found.descriptor, key: document })
            }
        };
        print(&format::pretty(&shown)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Create {
    fn run(self, context: &Context) -> Outcome {
        let images = context.images()?;
        let list = self.list.parse::<Reference>().map_err(image::Error::from)?.with_default_tag();
        let mut members = Vec::new();
        for name in &self.images {
            members.push(context.find(&images, name)?);
        }
        let options = ManifestOptions { amend: self.amend, ..ManifestOptions::default() };
        images.create_index(&list, &members, options)?;
        print(&format!("Created manifest list {list}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Push {
    fn run(self, context: &Context) -> Outcome {
        let images = context.images()?;
        let candidates = context.local_candidates(&self.list)?;
        let image = images.find(&self.list, &candidates)?;
        let named = candidates.iter().find(|name| image.names.contains(&name.to_string()));
        let name = named.ok_or("a list is pushed by its name")?;
        let push = image::Push {
            images: images.clone(),
            config: context.config()?,
            platforms: Platforms::default(),
            patience: Patience::default(),
            progress: of_layers(Direction::Push, None),
        };
        let pushed = push.run(&image, name)?;
        print(&format!("{}\n", pushed.target.digest))?;
        if self.purge {
            images.remove(&self.list, &candidates, false, &|_| Vec::new())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
