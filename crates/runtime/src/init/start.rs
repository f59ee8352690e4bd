//! Waiting for `start`, and telling it what became of the program.
//!
//! The FIFO in the state directory is opened for writing, which blocks until `start` opens it for reading. One byte
//! says "here I am"; then comes either end of file, by exec, or a failure as JSON.

use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::fs::OFlags;

use super::{Init, Report};
use crate::failure::{Failure, OrFail, Result};
use crate::protocol::FromInit;

impl Init<'_> {
    /// Once that is said, `create` may return and `kill` may come.
    pub(super) fn ready(&self) -> Result<()> {
        if self.start_fifo.is_some() {
            sys::process::end_on_termination();
        }
        self.parent()?.ask(&FromInit::Ready).or_fail("report to", "the runtime")
    }

    pub(super) fn await_start(&mut self) -> Result<()> {
        let fifo = self.start_fifo.take();
        let fifo = fifo.ok_or_else(|| Failure::because("wait for", "start", "there is no FIFO"))?;
        let fifo = self.reopen(&fifo, OFlags::WRONLY)?;
        rustix::io::write(&fifo, b"0").or_fail("write", "the start FIFO")?;
        self.report = Report::Starter(fifo);
        Ok(())
    }
}

/// Tells the starter of a failure. If it is gone there is nobody to tell.
pub(super) fn tell(fifo: &OwnedFd, failure: &Failure) {
    if let Ok(json) = serde_json::to_vec(failure) {
        let _ = rustix::io::write(fifo, &json);
    }
}

/// What `start` read.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Init closed its end without a word: it ended.
    Nothing,
    /// The program runs.
    Runs,
    /// It could not be started.
    Failed(Failure),
}

/// Reads until init closes its end.
///
/// # Errors
/// Those of read(2).
pub(crate) fn read_reply(mut fifo: impl Read) -> io::Result<Reply> {
    let mut text = Vec::new();
    fifo.read_to_end(&mut text)?;
    Ok(match text.split_first() {
        None => Reply::Nothing,
        Some((_, [])) => Reply::Runs,
        Some((_, json)) => Reply::Failed(
            serde_json::from_slice(json)
                .unwrap_or_else(|_| Failure::because("start", "the program", String::from_utf8_lossy(json))),
        ),
    })
}
