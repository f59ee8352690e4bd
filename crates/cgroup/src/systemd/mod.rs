//! Groups that systemd makes: transient scopes (or slices), asked for over D-Bus.

mod annotation;
mod bus;
mod manager;
mod properties;
mod unit;
mod value;

pub use bus::BusError;
pub(crate) use unit::Unit;
