//! `berth image …`: the same commands under Docker's longer names, and those that have no shorter one.

use clap::Subcommand;

use super::context::Context;
use super::{Outcome, diff, history, images, import, inspect, load, mount, prune, pull, push};
use super::{rmi, save, sign_check, tag, tree};

#[derive(Subcommand)]
pub enum Image {
    /// List images
    #[command(visible_alias = "list")]
    Ls(images::Images),
    /// Download an image from a registry
    Pull(pull::Pull),
    /// Upload an image to a registry
    Push(push::Push),
    /// Remove one or more images
    #[command(visible_alias = "remove")]
    Rm(rmi::Rmi),
    /// Give an image another name
    Tag(tag::Tag),
    /// Save one or more images to an archive
    Save(save::Save),
    /// Load images from an archive
    Load(load::Load),
    /// Make an image of a root file system in a tar archive
    Import(import::Import),
    /// Show all that is known of images
    Inspect(inspect::Inspect),
    /// Show how an image came about
    History(history::History),
    /// Remove images that nobody needs
    Prune(prune::Prune),
    /// Show which layers images share
    Tree(tree::Tree),
    /// Show which files differ between two images
    Diff(diff::Diff),
    /// Mount images, or show which are mounted
    Mount(mount::Mount),
    /// Unmount images
    #[command(visible_alias = "umount")]
    Unmount(mount::Unmount),
    /// Check the signatures of an image at its registry
    SignCheck(sign_check::SignCheck),
}

impl Image {
    pub fn run(self, context: &Context) -> Outcome {
        match self {
            Image::Ls(command) => command.run(context),
            Image::Pull(command) => command.run(context),
            Image::Push(command) => command.run(context),
            Image::Rm(command) => command.run(context),
            Image::Tag(command) => command.run(context),
            Image::Save(command) => command.run(context),
            Image::Load(command) => command.run(context),
            Image::Import(command) => command.run(context),
            Image::Inspect(command) => command.run(context),
            Image::History(command) => command.run(context),
            Image::Prune(command) => command.run(context),
            Image::Tree(command) => command.run(context),
            Image::Diff(command) => command.run(context),
            Image::Mount(command) => command.run(context),
            Image::Unmount(command) => command.run(context),
            Image::SignCheck(command) => command.run(context),
        }
    }
}
