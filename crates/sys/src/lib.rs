//! Typed system calls on owned and borrowed file descriptors; the only crate with unsafe code.
//!
//! What rustix has is used from rustix; here is what it lacks.
#![allow(unsafe_code)]

pub mod nsfs;
