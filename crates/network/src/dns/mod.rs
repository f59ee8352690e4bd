//! Names: a container finds others in its networks by theirs, and the rest of the world through the host's servers.

mod flight;
mod message;
mod resolver;
mod servers;
mod stream;
mod trace;
mod zone;

#[cfg(fuzzing)]
pub use message::hold as dns_messages_hold;
pub use resolver::{RESOLVER, Resolver};
pub use trace::{Trace, TraceStep};
