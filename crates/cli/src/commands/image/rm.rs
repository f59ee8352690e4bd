//! `berth rmi`

use std::process::ExitCode;

use clap::Args;
use oci::Reference;
use oci::image::Digest;
use store::GcOptions;

use crate::commands::context::Context;
use crate::commands::output::print;
use crate::commands::{Outcome, told};

#[derive(Args)]
pub struct Rmi {
    /// Remove an image with all its names, and don't mind images that are not here
    #[arg(short, long)]
    force: bool,
    /// Only take the names away; `berth gc` frees the rest
    #[arg(long)]
    no_prune: bool,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Rmi {
    pub fn run(self, context: &Context) -> Outcome {
        let images = context.images()?;
        let users = context.image_users()?;
        let users_of = |image: &Digest| {
            let image = image.to_string();
            users.iter().filter(|(of, _)| *of == image).map(|(_, user)| user.clone()).collect()
        };
        let mut status = ExitCode::SUCCESS;
        for name in &self.images {
            let removed = context
                .local_candidates(name)
                .and_then(|candidates| images.remove(name, &candidates, self.force, &users_of));
            match removed {
                Ok(removed) => {
                    let untagged =
                        removed.untagged.iter().map(|name| format!("Untagged: {}\n", familiar(name)));
                    let deleted = removed.deleted.iter().map(|digest| format!("Deleted: {digest}\n"));
                    print(&untagged.chain(deleted).collect::<String>())?;
                }
                Err(image::Error::NotFound(_)) if self.force => {}
                Err(error) => {
                    eprintln!("berth: {}", told(&error));
                    status = ExitCode::FAILURE;
                }
            }
        }
        if !self.no_prune {
            images.gc(GcOptions::default())?;
        }
        Ok(status)
    }
}

/// A name as people write it.
pub fn familiar(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| name.to_owned(), |name| name.familiar())
}
