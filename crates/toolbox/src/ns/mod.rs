//! Namespaces: list, compare, enter and make them.

pub mod enter;
pub mod ls;
pub mod maps;
pub mod new;
pub mod scan;
pub mod show;

mod assistant;
