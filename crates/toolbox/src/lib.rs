//! The toolbox: shows and changes what containers are made of, of any process, container or not.

pub mod accounts;
pub mod caps;
pub mod cgroups;
pub mod containers;
pub mod credentials;
pub mod explain;
pub mod launch;
pub mod mountinfo;
pub mod mounts;
pub mod netns;
pub mod ns;
pub mod process;
pub mod seccomp;
pub mod userns;

mod printable;
mod table;

pub use printable::printable;
pub use table::{Align, Table};
