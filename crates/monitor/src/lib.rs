//! The small process beside each container.
//!
//! It owns the payload's stdio, writes its log, serves those who attach, waits for its end, checks its health, starts
//! it again as the restart policy says, and cleans up. What it has [`Charge`] of it does not know: the engine does.
//!
//! | module | what |
//! |---|---|
//! | [`log`] | drivers: written here, read by anybody |
//! | [`stdio`] | pipes and terminals |
//! | [`attach`] | the protocol, its server, and the blocking client that `run`, `start -a` and `attach` use |
//! | [`restart`], [`health`] | Docker's rules, as pure state machines |
//! | [`attend`](mod@attend) | the event loop |
//! | [`handover`] | a monitor that executes itself again, to be small |
//!
//! One thread, `poll(2)`, no buffer kept while idle: a monitor is to cost less than 300 KiB.

pub mod attach;
pub mod attend;
mod charge;
pub mod handover;
pub mod health;
pub mod log;
pub mod restart;
pub mod stdio;

pub use attend::{Config, attend, resume};
pub use charge::{Charge, Ended, Intent, Luggage, Started};
