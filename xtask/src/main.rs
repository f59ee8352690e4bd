//! `cargo xtask`: the front door for contributors.

fn main() {}
