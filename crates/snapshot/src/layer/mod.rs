//! Layers: a tar archive of changes becomes a directory in overlay's form, and back.
//!
//! ```text
//! compressed ─► inflate (own thread) ─► bounded chunks ─► hash (DiffID) ─► entries ─► directory
//! ```
//!
//! A layer's directory holds what the layer adds; a removed name is a character device 0:0 and a directory
//! that hides what is below it has the attribute `overlay.opaque`. Both drivers read this form.

mod apply;
mod destination;
mod diff;
mod error;
mod inflate;
mod metadata;
mod parents;
mod path;
mod whiteout;

pub use apply::{Applied, ApplyOptions, Devices, Plain, Process, apply};
pub use diff::{IdRanges, Packing, diff, diff_without, pack};
pub use error::LayerError;
pub(crate) use error::limit_exceeded;
pub use inflate::{Expected, Inflated, inflate};
pub use whiteout::XattrNamespace;
pub(crate) use whiteout::{is_opaque, is_overlays, is_whiteout, make as make_whiteout, make_opaque};
