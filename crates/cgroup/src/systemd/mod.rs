//! Groups that systemd makes: scopes, in slices.

mod unit;

pub use unit::Unit;
