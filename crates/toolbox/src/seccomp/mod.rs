//! seccomp: the filters in force for a process, what a system call would get, and profiles as programs.

pub mod profile;
pub mod show;
pub mod test;
