//! `berth container …`, and the same commands without that word.

mod device;
mod env;
mod mount;
mod networks;
mod ports;
mod request;
mod security;
