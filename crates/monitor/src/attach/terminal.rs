//! The caller's own terminal.

use rustix::termios::{OptionalActions, Termios};

use runtime::Result;
use runtime::failure::OrFail;

/// Our own terminal in raw mode, until dropped.
#[derive(Debug)]
pub struct RawMode(Option<Termios>);

impl RawMode {
    /// Enters raw mode, where stdin is a terminal.
    ///
    /// # Errors
    /// Those of tcsetattr(3).
    pub fn enter() -> Result<Self> {
        let stdin = rustix::stdio::stdin();
        if !rustix::termios::isatty(stdin) {
            return Ok(Self(None));
        }
        let before = rustix::termios::tcgetattr(stdin).or_fail("read mode of", "the terminal")?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(stdin, OptionalActions::Drain, &raw)
            .or_fail("set mode of", "the terminal")?;
        Ok(Self(Some(before)))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // A terminal that is gone needs no mode.
            let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, before);
        }
    }
}
