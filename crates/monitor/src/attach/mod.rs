//! Attaching to a container's stdio.
//!
//! A unix stream socket: one end of a pair for the client that starts the container, `attach.sock` for others.
//! Frames have Docker's header of 8 bytes, `[kind, 0, 0, 0, length as u32 BE]`, so that an API server can hand the
//! output on as it is.
//!
//! ```text
//! client                                     monitor
//!   | -- 5 Wants (JSON) ----------------------> |   first of all, and once
//!   | <---------------- 3 {"started":{"pid"}} - |   at once where the payload runs, or when it does
//!   | -- 0 stdin bytes; of length 0: its end -> |
//!   | -- 4 rows u16 BE, cols u16 BE ----------> |
//!   | <----------- 1 stdout bytes, 2 stderr --- |   a terminal's bytes are all stdout
//!   | <---------------- 3 {"exited":{…}} ------ |   or {"failed"} where it could not be started: the last frame
//! ```
//! A client that closes its side has detached. One that reads so slowly that a mebibyte waits for it is told
//! `{"dropped"}` and left behind; but the client that started the container in the foreground is one that the payload
//! waits for, as for the reader of a pipe.

mod client;
mod keys;
mod relay;
pub(crate) mod server;
mod terminal;
pub(crate) mod wire;

pub use client::{Client, Ending, Session, Signals};
pub use keys::{DetachKeys, InvalidKeys};
pub use relay::Relay;
pub use terminal::RawMode;
pub use wire::{Exited, Failed, FrameKind, HEADER, Status, Wants, header};

/// The socket's name in a container's runtime directory.
pub const SOCKET: &str = "attach.sock";
