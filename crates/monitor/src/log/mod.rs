//! Logs: what a payload wrote, kept by a driver and read back.
//!
//! | driver | what | where |
//! |---|---|---|
//! | `local` | chunks as they came out of the pipe, with a time index; see [`local`] | `DIR/local/` |
//! | `json-file` | Docker's lines of JSON; see [`json`] | `DIR/ID-json.log` |
//! | `journald` | fields of the journal; see [`journald`] | the host's journal |
//! | `none` | nothing | – |
//!
//! [`Config::new`] decides from a driver's name and options, and touches nothing. A [`Writer`] is a monitor's; a
//! [`Reader`] is anybody's, at any time, while the writer writes, rotates, was killed or is long gone.
//!
//! Bytes are kept and given back as they are, a terminal's escape sequences among them: who prints a log on a terminal
//! prints what the payload would have printed there.

mod compressor;
mod journald;
mod json;
mod lines;
mod local;
mod options;
mod printer;
mod reader;
mod tag;
pub(crate) mod time;
mod writer;

pub use options::{About, Config, DRIVERS, Driver, Invalid, Mode};
pub use reader::{Query, Reader, Sink};
pub use tag::InvalidTag;
pub use writer::{Begun, Writer};

#[cfg(test)]
mod model;
