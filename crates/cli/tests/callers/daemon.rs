//! Daemons of other projects, for the time of one test.

use rustix::process::Signal;
use testkit::{Invocation, Running, eventually};

/// A daemon that is ready; dropping it ends it as a machine's shutdown does.
pub struct Daemon {
    running: Option<Running>,
}

impl Daemon {
    /// Starts `daemon` and asks until `ready` says so.
    ///
    /// # Panics
    /// When it ends or does not get ready; the message has what it logged.
    pub fn start(daemon: Invocation, mut ready: impl FnMut() -> bool) -> Self {
        let running = daemon.deadline(testkit::patience() * 4).start();
        let what = format!("the daemon gets ready (log: {})", running.stderr());
        eventually(&what, || ready().then_some(()));
        Self { running: Some(running) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        if std::thread::panicking() {
            eprintln!("the daemon said:\n{}", running.stderr());
        } else {
            running.signal(Signal::TERM);
            running.wait();
        }
    }
}
