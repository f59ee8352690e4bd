//! `berth image …`: Docker's longer names of the commands for images, and those that have no shorter one.

pub mod diff;
pub mod filter;
pub mod history;
pub mod import;
pub mod inspect;
pub mod load;
pub mod ls;
pub mod mount;
pub mod pin;
pub mod prune;
pub mod pull;
pub mod push;
pub mod rm;
pub mod save;
pub mod sign_check;
pub mod tag;
pub mod tree;

use super::entry::{Entry, command};

pub const COMMANDS: &[Entry] = &[
    command!("ls" | "list", "List images", ls::Images),
    command!("pull", "Download an image from a registry", pull::Pull),
    command!("push", "Upload an image to a registry", push::Push),
    command!("rm" | "remove", "Remove one or more images", rm::Rmi),
    command!("tag", "Give an image another name", tag::Tag),
    command!("save", "Save one or more images to an archive", save::Save),
    command!("load", "Load images from an archive", load::Load),
    command!("import", "Make an image of a root file system in a tar archive", import::Import),
    command!("inspect", "Show all that is known of images", inspect::Inspect),
    command!("history", "Show how an image came about", history::History),
    command!("pin", "Keep images whatever room is needed", pin::Pin),
    command!("unpin", "Let pinned images go again", pin::Unpin),
    command!("prune", "Remove images that nobody needs", prune::Prune),
    command!("tree", "Show which layers images share", tree::Tree),
    command!("diff", "Show which files differ between two images", diff::Diff),
    command!("mount", "Mount images, or show which are mounted", mount::Mount),
    command!("unmount" | "umount", "Unmount images", mount::Unmount),
    command!("sign-check", "Check the signatures of an image at its registry", sign_check::SignCheck),
];
