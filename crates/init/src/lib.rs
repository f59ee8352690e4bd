//! The first process of a container with `--init`: it passes signals on, reaps what is orphaned, and ends with its child.
//!
//! It is a static program of its own, without libc and without `std`, as that of the image `hello`: a container gets a copy
//! of its own, which no other container and not the host execute, whatever the container does to it.

/// The program, an ELF executable for this machine.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_a_small_program() {
        assert!(super::PROGRAM.starts_with(b"\x7fELF"));
        assert!(super::PROGRAM.len() < 64 << 10, "{}", super::PROGRAM.len());
    }
}
