//! Many starts of containers while somebody exchanges two names of their root file system.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::Value;
use testkit::{Finished, Testbed};

/// As many starts are raced.
const STARTS: usize = 1000;
/// As long as they may take together.
const PATIENCE: Duration = Duration::from_secs(20);
/// As few make a race on a slow machine, which may take longer over them.
const ENOUGH: usize = 50;
/// But not longer than this.
const LIMIT: Duration = Duration::from_secs(120);
/// Threads that start containers, beside the one that exchanges.
const STARTERS: usize = 3;

/// Two names that are exchanged, over and over.
pub struct Race<'a> {
    pub one: &'a Path,
    pub other: &'a Path,
}

impl Race<'_> {
    /// Runs containers made by `configure` and has `judge` look at each that has ended. A container may fail to start;
    /// but some must.
    pub fn run(&self, configure: impl Fn(&mut Value) + Sync, judge: impl Fn(&Testbed, Finished) + Sync) {
        let (over, started, lived) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        let begin = Instant::now();
        let goes_on =
            |started| started < STARTS && begin.elapsed() < if started < ENOUGH { LIMIT } else { PATIENCE };
        std::thread::scope(|scope| {
            let start = || {
                let _stop = StopOnPanic(&over);
                let bed = Testbed::new();
                let mut bundle = bed.bundle();
                bundle.edit(&configure);
                while goes_on(started.fetch_add(1, Ordering::Relaxed)) {
                    let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output();
                    lived.fetch_add(usize::from(run.status.success()), Ordering::Relaxed);
                    judge(&bed, run);
                }
            };
            let starters: Vec<_> = (0..STARTERS).map(|_| scope.spawn(start)).collect();
            let exchange = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    renameat_with(CWD, self.one, CWD, self.other, RenameFlags::EXCHANGE).unwrap();
                }
            });
            let ends: Vec<_> = starters.into_iter().map(|starter| starter.join()).collect();
            over.store(true, Ordering::Relaxed);
            exchange.join().unwrap();
            for end in ends {
                end.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
        });
        let (started, lived) = (started.into_inner(), lived.into_inner());
        println!("{started} starts, {lived} containers lived");
        assert!(started >= ENOUGH && lived > 0, "no race: {started} starts, {lived} containers lived");
    }
}

/// Ends the others' waiting where one of them fails.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
