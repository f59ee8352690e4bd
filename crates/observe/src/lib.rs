//! Follows a container's processes from system call to system call: what isolation denies them, and what they need.
//!
//! [`observe()`] is the loop; [`explain()`] finds the reason of a failure; [`need`] has the kernel's rules of
//! capabilities, for both; [`record`] is the file that all is written to.

mod access;
mod call;
mod container;
mod denial;
mod explain;
mod follow;
mod learn;
mod learned;
mod limit;
pub mod need;
mod netlink;
pub mod record;
mod status;
mod view;
mod words;

pub use call::Call;
pub use container::Container;
pub use denial::{Cause, Denial};
pub use explain::explain;
pub use follow::{Wanted, observe};
pub use learned::{Learned, Written};
pub use record::Entry;
pub use status::{Map, Status};
pub use view::View;
