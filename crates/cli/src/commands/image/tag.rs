//! `berth tag`

use std::process::ExitCode;

use clap::Args;
use oci::Reference;

use crate::commands::Outcome;
use crate::commands::context::Context;

#[derive(Args)]
pub struct Tag {
    /// A name or id
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    source: String,
    /// The further name
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    target: String,
}

impl Tag {
    pub fn run(self, context: &Context) -> Outcome {
        let images = context.images()?;
        let image = context.find(&images, &self.source)?;
        // A new name is Docker's: aliases and search lists are for looking up.
        let target: Reference = self.target.parse::<Reference>().map_err(image::Error::from)?;
        if target.digest().is_some() {
            return Err(format!("{}: a digest can't be given, it is", self.target).into());
        }
        images.tag(&image, &target.with_default_tag())?;
        Ok(ExitCode::SUCCESS)
    }
}
