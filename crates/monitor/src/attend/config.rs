use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::health::Checks;
use crate::log;
use crate::stdio::Size;

/// What a monitor has to know of its container. It goes along when the monitor executes itself again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The payload has a terminal.
    pub tty: bool,
    /// The terminal's size at the start.
    pub console_size: Option<Size>,
    /// The payload's stdin is open (`-i`); else it is /dev/null.
    pub open_stdin: bool,
    /// Stdin is closed when the first client that had it is gone or has closed it. Not for a terminal.
    pub stdin_once: bool,
    /// How the payload's output is logged.
    pub log: log::Config,
    /// The directory that [`attach::SOCKET`](crate::attach::SOCKET) is made in.
    pub runtime_dir: PathBuf,
    /// How the health is checked, if at all.
    pub checks: Option<Checks>,
    /// The arguments with which the monitor executes itself again, once the payload has lived for a second and nobody
    /// is attached; none is never.
    pub again: Option<Vec<OsString>>,
}
