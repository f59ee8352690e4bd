//! Linux namespaces and id maps: read them, plan them, apply them.
//!
//! [`Kind`] is one of the eight types, [`NamespaceFile`] an open namespace whose type is verified, [`IdMap`]
//! what a user namespace does with ids: parsed, validated and composed without asking the kernel, then written.
//! [`netlink`] is how one speaks with the kernel about a network namespace.

mod file;
mod idmap;
mod kind;
pub mod netlink;
mod offsets;
mod write;

pub use file::{FileError, NamespaceFile, NamespaceId};
pub use idmap::{Extent, IdMap, MapError, Side, UNMAPPED};
pub use kind::{Kind, UnknownKind};
pub use offsets::{Offset, TimeOffsets};
pub use write::{
    IdKind, WriteError, deny_setgroups, write_map, write_map_with_helper, write_maps_with_helpers,
    write_time_offsets,
};
