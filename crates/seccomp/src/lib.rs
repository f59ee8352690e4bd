//! From an OCI seccomp profile to a BPF program, and the notify descriptor.
//!
//! [`compile()`] is pure; [`Filter::install`] puts its result into force; [`interpret()`] and [`disassemble()`] tell
//! what a program does.

mod action;
pub mod architecture;
pub mod bpf;
mod catalog;
mod compile;
mod condition;
pub mod default_profile;
mod disassemble;
pub mod docker_profile;
mod graph;
mod install;
mod interpret;
mod listener;
mod rules;
pub mod syscalls;

pub use architecture::Architecture;
pub use bpf::Program;
pub use compile::{CompileError, Filter, compile};
pub use default_profile::{default_profile, nested_profile};
pub use disassemble::disassemble;
pub use install::{InstallError, known_flags, supported_flags, supports_action};
pub use interpret::{Call, Outcome, interpret};
pub use listener::{ListenerError, send_listener};
pub use sys::seccomp::FilterFlags;
