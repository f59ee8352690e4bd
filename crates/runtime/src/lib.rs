//! The OCI runtime core: plan, parent, init, protocol, state.
//!
//! [`create()`] makes a container: [`plan`] decides everything from the configuration, the parent's side does what
//! needs the host, and init goes through the plan's steps until it is the container's program. [`Container`] is one
//! that exists.

mod config;
mod container;
mod conversation;
mod create;
mod exec;
pub mod failure;
mod hooks;
mod init;
mod limits;
mod netdevice;
pub mod notify;
mod options;
pub mod plan;
mod process;
mod protocol;
mod rdt;
mod sealed;
mod sources;
mod spawn;
mod state;
mod time;
mod users;

pub use config::Bundle;
pub use container::Container;
pub use create::{Created, create, plan as plan_create};
pub use exec::{ExecOptions, Executed};
pub use failure::{Failure, Result};
pub use init::user_namespace;
pub use options::{Born, CreateOptions, Prepare};
pub use plan::{Invalid, StartPlan, Step};
pub use sealed::{leave_host_binary, own_binary};
pub use state::{Record, StateRoot, forget};
pub use time::now;
