//! `berth image inspect`

use clap::Args;
use image::{Image, Images};
use serde_json::{Value, json};

use super::rm::familiar;
use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::inspect::{Found, show};

#[derive(Args)]
pub struct Inspect {
    /// A Go template, or `json`
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Inspect {
    pub fn run(self, context: &Context) -> Outcome {
        let images = context.images()?;
        show(&self.images, self.format.as_deref(), |name| {
            Ok(describe(&images, &context.find(&images, name)?))
        })
    }
}

/// The image of this name, if there is one.
pub fn find(context: &Context, name: &str) -> Found {
    let images = context.images()?;
    match context.find(&images, name) {
        Ok(image) => Ok(Some(describe(&images, &image))),
        Err(image::Error::NotFound(_) | image::Error::Reference(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What `docker image inspect` says of an image.
fn describe(images: &Images, image: &Image) -> Value {
    let config = &image.config;
    let chain = config.chain_ids();
    let lower: Vec<String> = chain
        .iter()
        .rev()
        .filter_map(|chain_id| Some(images.snapshots().layer(chain_id).ok()?.path.display().to_string()))
        .collect();
    let (top, below) = lower.split_first().map_or((Value::Null, ""), |(top, rest)| {
        (Value::String(top.clone()), if rest.is_empty() { "" } else { ":" })
    });
    let lower = if below.is_empty() { Value::Null } else { Value::String(lower[1..].join(":")) };
    let comment = config.history.last().and_then(|step| step.comment.clone()).unwrap_or_default();
    json!({
        "Id": image.id(),
        "RepoTags": image.names.iter().map(|name| familiar(name)).filter(|name| !name.contains('@')).collect::<Vec<_>>(),
        "RepoDigests": image.repository_digests(),
        "Parent": "",
        "Comment": comment,
        "Created": config.created.clone().unwrap_or_default(),
        "DockerVersion": "",
        "Author": config.author.clone().unwrap_or_default(),
        "Config": config.config,
        "Architecture": config.platform.architecture,
        "Variant": config.platform.variant,
        "Os": config.platform.os,
        "Size": images.size(&image.manifest, config),
        "GraphDriver": { "Data": { "LowerDir": lower, "UpperDir": top }, "Name": images.snapshots().driver().docker_name() },
        "RootFS": { "Type": config.rootfs.kind, "Layers": config.rootfs.diff_ids },
        "Descriptor": image.target,
        "Pinned": image.pinned,
        "Metadata": { "LastTagTime": "0001-01-01T00:00:00Z" },
    })
}
