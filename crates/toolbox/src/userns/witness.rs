//! A process put into a user namespace that nobody is in, so that /proc shows its maps.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use namespace::NamespaceFile;
use rustix::process::Pid;

use crate::launch::{self, Side};

/// The process; it ends when this is dropped.
#[derive(Debug)]
pub struct Witness {
    process: Pid,
    stream: Option<UnixStream>,
}

impl Witness {
    /// Forks one that enters the namespace; none if it may not.
    pub fn enter(file: &NamespaceFile) -> Option<Self> {
        let (mut ours, mut theirs) = UnixStream::pair().ok()?;
        match launch::fork().ok()? {
            Side::Child => {
                drop(ours);
                if file.enter().is_ok() && theirs.write_all(b"!").is_ok() {
                    let _ = theirs.read(&mut [0]);
                }
                std::process::exit(0);
            }
            Side::Parent(process) => {
                drop(theirs);
                let inside = ours.read_exact(&mut [0]).is_ok();
                let witness = Self { process, stream: Some(ours) };
                inside.then_some(witness)
            }
        }
    }

    /// Its id.
    pub fn pid(&self) -> Pid {
        self.process
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stream = None;
        let _ = launch::wait(self.process);
    }
}
