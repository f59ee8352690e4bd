//! Linux capabilities: the five sets of a process, file capabilities, their text forms.
//!
//! A [`Capability`] is a bit, a [`CapSet`] 64 of them, [`Sets`] the five sets that a thread has. Reading is
//! possible for every process that /proc shows; applying is for the calling thread only, as in the kernel.

mod apply;
mod capability;
mod file;
mod set;
mod sets;
mod text;

pub use apply::{ApplyError, drop_bounding, keep_across_setuid, raise_ambient, set_process_sets};
pub use capability::{Capability, UnknownCapability};
pub use file::{FileCapabilities, FileError, FormatError, PartlyEffective};
pub use set::{CapSet, InvalidMask};
pub use sets::{ReadError, Sets, supported};
pub use text::{State, TextError};
