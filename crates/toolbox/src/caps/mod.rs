//! Capabilities: explain, show, list, and run with chosen ones.

pub mod catalogue;
pub mod list;
pub mod ls;
pub mod run;
pub mod show;

use capability::{CapSet, supported};

/// A set in words that a reader takes in at a glance: `none`, `all`, `all but …`, or the names.
pub fn describe(set: CapSet) -> String {
    let (all, missing) = (supported(), supported() - set);
    match (set.is_empty(), missing.len()) {
        (true, _) => "none".to_owned(),
        (false, 0) => "all".to_owned(),
        (false, few) if few <= all.len() / 4 => format!("all but {missing}"),
        _ => set.to_string(),
    }
}
