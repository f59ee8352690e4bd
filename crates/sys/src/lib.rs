//! Typed system calls on owned and borrowed file descriptors; the only crate with unsafe code.
