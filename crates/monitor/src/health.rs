//! A container's health: when its command is run, and what the results mean. Docker's rules, as a pure state machine.
//!
//! ```text
//!              success                  retries failures
//! starting ------------> healthy ---------------------------> unhealthy
//!     |                     ^                                    |  ^
//!     |                     +------------- success --------------+  |
//!     +-- retries failures, those within the start period not counted
//! ```
//! A check is due one interval after the end of the last, in the start period of a container that was never healthy
//! one start interval. Nothing is due while the container is paused; after that the interval begins anew.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many results are kept.
const KEPT: usize = 5;
/// How much of a command's output is kept, in bytes.
pub const OUTPUT_KEPT: usize = 4096;

/// When and how often a container is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    /// Between the end of one check and the next.
    pub interval: Duration,
    /// A check that takes longer has failed, and is killed.
    pub timeout: Duration,
    /// Failures in this time after the start don't count until the first success.
    pub start_period: Duration,
    /// The interval in the start period.
    pub start_interval: Duration,
    /// So many failures in a row make a container unhealthy.
    pub retries: u32,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            start_period: Duration::ZERO,
            start_interval: Duration::from_secs(5),
            retries: 3,
        }
    }
}

/// What is known of a container's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// No check has succeeded yet, nor have enough failed.
    #[default]
    Starting,
    /// The last check succeeded, or too few have failed since.
    Healthy,
    /// Too many have failed in a row.
    Unhealthy,
}

impl Status {
    /// The word that `ps` and `inspect` print.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// The result of one check. Times are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// When it began.
    pub start: i64,
    /// When it ended.
    pub end: i64,
    /// Its exit code, 0 for success; -1 where it did not end in time or could not be run.
    pub exit_code: i32,
    /// What it wrote, cut at [`OUTPUT_KEPT`].
    pub output: String,
}

/// A container's health. Instants count from any fixed point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Where it stands.
    pub status: Status,
    /// Failures since the last success.
    pub failing_streak: u32,
    /// The last results, oldest first.
    pub log: VecDeque<Checked>,
    started: Duration,
    /// When the next check is due; none while one runs, or while nothing is to be checked.
    due: Option<Duration>,
}

impl Health {
    /// The payload was started: nothing is known of it. The log of an earlier run stays.
    pub fn started(&mut self, checks: &Checks, now: Duration) {
        self.status = Status::Starting;
        self.failing_streak = 0;
        self.started = now;
        self.schedule(checks, now);
    }

    /// The payload has ended or was paused: nothing is due.
    pub fn suspend(&mut self) {
        self.due = None;
    }

    /// The container goes on after a pause.
    pub fn resume(&mut self, checks: &Checks, now: Duration) {
        self.schedule(checks, now);
    }

    /// When the next check is due.
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// A check begins.
    pub fn begin(&mut self) {
        self.due = None;
    }

    /// A check that began at `began` has ended at `now`. True where the status has changed.
    pub fn checked(&mut self, checks: &Checks, began: Duration, now: Duration, result: Checked) -> bool {
        let before = self.status;
        if result.exit_code == 0 {
            self.failing_streak = 0;
            self.status = Status::Healthy;
        } else if self.status != Status::Starting || began.saturating_sub(self.started) >= checks.start_period
        {
            self.failing_streak += 1;
            if self.failing_streak >= checks.retries {
                self.status = Status::Unhealthy;
            }
        }
        if self.log.len() == KEPT {
            self.log.pop_front();
        }
        self.log.push_back(result);
        self.schedule(checks, now);
        self.status != before
    }

    fn schedule(&mut self, checks: &Checks, now: Duration) {
        let starting =
            self.status == Status::Starting && now.saturating_sub(self.started) < checks.start_period;
        self.due = Some(now + if starting { checks.start_interval } else { checks.interval });
    }
}

/// A command's output as the log keeps it.
pub fn kept(output: &[u8]) -> String {
    let cut = &output[..output.len().min(OUTPUT_KEPT)];
    String::from_utf8_lossy(cut).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn checks(start_period: u64) -> Checks {
        Checks { start_period: seconds(start_period), ..Checks::default() }
    }

    fn result(exit_code: i32) -> Checked {
        Checked { start: 0, end: 0, exit_code, output: String::new() }
    }

    /// Feeds exit codes to a fresh container, one a minute, and gives the statuses after each.
    fn statuses(checks: &Checks, codes: &[i32]) -> Vec<Status> {
        let mut health = Health::default();
        health.started(checks, Duration::ZERO);
        let minutes = (1..).map(|minute| seconds(60 * minute));
        codes
            .iter()
            .zip(minutes)
            .map(|(code, now)| {
                health.checked(checks, now, now, result(*code));
                health.status
            })
            .collect()
    }

    #[test]
    fn so_many_failures_as_retries_in_a_row_make_unhealthy() {
        use Status::{Healthy, Starting, Unhealthy};
        let codes = [1, 0, 1, 1, 0, 1, 1, 1, 1, 0];
        let expected =
            [Starting, Healthy, Healthy, Healthy, Healthy, Healthy, Healthy, Unhealthy, Unhealthy, Healthy];
        assert_eq!(statuses(&checks(0), &codes), expected);
    }

    #[test]
    fn failures_within_the_start_period_do_not_count_until_the_first_success() {
        use Status::{Healthy, Starting, Unhealthy};
        // Four minutes less one second: the first three failures fall into it.
        assert_eq!(
            statuses(&checks(239), &[1, 1, 1, 1, 1, 1]),
            [Starting, Starting, Starting, Starting, Starting, Unhealthy]
        );
        assert_eq!(
            statuses(&checks(3600), &[0, 1, 1, 1, 0]),
            [Healthy, Healthy, Healthy, Unhealthy, Healthy]
        );
    }

    #[test]
    fn the_start_interval_holds_in_the_start_period_until_healthy() {
        let checks = checks(60);
        let mut health = Health::default();
        health.started(&checks, seconds(100));
        assert_eq!(health.due(), Some(seconds(105)));
        health.begin();
        assert_eq!(health.due(), None);
        health.checked(&checks, seconds(105), seconds(106), result(1));
        assert_eq!(health.due(), Some(seconds(111)));
        assert!(health.checked(&checks, seconds(111), seconds(112), result(0)));
        assert_eq!(health.due(), Some(seconds(142)));
    }

    #[test]
    fn a_pause_holds_checks_back() {
        let checks = checks(0);
        let mut health = Health::default();
        health.started(&checks, seconds(0));
        health.suspend();
        assert_eq!(health.due(), None);
        health.resume(&checks, seconds(100));
        assert_eq!(health.due(), Some(seconds(130)));
    }

    #[test]
    fn five_results_are_kept_and_output_is_cut() {
        let checks = checks(0);
        let mut health = Health::default();
        health.started(&checks, seconds(0));
        for code in 0..8 {
            health.checked(&checks, seconds(1), seconds(1), result(code));
        }
        let codes: Vec<i32> = health.log.iter().map(|result| result.exit_code).collect();
        assert_eq!(codes, [3, 4, 5, 6, 7]);
        assert_eq!(kept(&[b'x'; 5000]).len(), OUTPUT_KEPT);
    }
}
