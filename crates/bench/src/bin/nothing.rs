//! The payload: a static program that does nothing.

fn main() {}
