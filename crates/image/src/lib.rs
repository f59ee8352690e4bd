//! Images: what is done with them, over store, snapshot and registry.
//!
//! ```text
//! Images            the images of this host: names → index → manifest → configuration, layers
//!  ├ pull           registry ─► store ─┬► unpacked layers, while they still arrive
//!  ├ load, import   archive  ─► store ─┘
//!  ├ push, save     store ─► registry, archive
//!  ├ prepare        image ─► a container's file system
//!  └ list, history, tree, diff, df, gc, fsck, mount
//! ```
//!
//! Nothing here reads the environment: callers bring configuration, policy and what is to be told of progress.

mod ahead;
mod archive;
mod builtin;
mod commit;
mod diff;
mod disk;
mod error;
mod export;
mod fsck;
mod images;
mod import;
mod list;
mod load;
mod manifest;
mod mount;
mod names;
mod platform;
mod prepare;
mod progress;
mod pull;
mod push;
mod remove;
mod sign_check;
mod signatures;
mod stack;
mod tree;
mod unpack;

pub use archive::decompress;
pub use builtin::Builtin;
pub use commit::CommitOptions;
pub use diff::{Change, ChangeKind};
pub use disk::{DiskUsage, ImageUsage};
pub use error::{Error, Result};
pub use export::{ArchiveFormat, SaveOptions};
pub use fsck::{Finding, FsckReport};
pub use images::{Image, Images};
pub use import::{ImportError, ImportOptions, apply_change};
pub use list::{Filter, Listed};
pub use load::Loaded;
pub use manifest::{ManifestOptions, RemoteManifest, remote_tags};
pub use names::{candidates, default_candidates};
pub use platform::Platforms;
pub use progress::{LayerState, Progress, Silent};
pub use pull::{Pull, Pulled};
pub use push::{Push, Pushed};
pub use remove::{ImageUser, Removed};
pub use sign_check::SignCheck;
pub use stack::{Part, PartKind};
pub use tree::{TreeImage, TreeLayer};

/// What requests to registries run on: one thread, this one.
fn event_loop() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|source| Error::io("start", "the event loop", source))
}

/// Runs one exchange with a registry to its end.
pub fn wait_for<T>(exchange: impl Future<Output = std::result::Result<T, registry::Error>>) -> Result<T> {
    Ok(event_loop()?.block_on(exchange)?)
}
