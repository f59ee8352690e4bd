//! Whether and when a payload that has ended is started again: Docker's policies, as a pure state machine.
//!
//! ```text
//!            ended                          delay over
//! running ----------> waiting (100 ms · 2ⁿ) ----------> running
//!    |                   |
//!    | the policy says no, or a user asked for the end
//!    v                   v
//!  ended               ended
//! ```
//! The delay doubles with each restart up to a minute, and is forgotten once the payload has run for ten seconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The first delay.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest delay.
const LONGEST: Duration = Duration::from_mins(1);
/// Who ran for so long did not fail at once.
const SETTLED: Duration = Duration::from_secs(10);

/// What `--restart` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Never.
    #[default]
    No,
    /// After an exit code other than 0, at most so many times; 0 is without end.
    OnFailure(u32),
    /// Until a user stops it.
    Always,
    /// The same, and not at boot either where a user had stopped it.
    UnlessStopped,
}

impl Policy {
    /// Docker's name of the policy, without the number of retries.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure(_) => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// Whether it restarts a payload that ended with `code` at all.
    pub fn restarts_after(self, code: u8) -> bool {
        self.wants(code, 0)
    }

    fn wants(self, code: u8, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::OnFailure(most) => code != 0 && (most == 0 || restarts < most),
            Self::Always | Self::UnlessStopped => true,
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnFailure(most) if *most > 0 => write!(f, "on-failure:{most}"),
            other => f.write_str(other.name()),
        }
    }
}

/// A policy that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// An unknown word.
    #[error("unknown restart policy {0:?}: there are no, on-failure[:N], always and unless-stopped")]
    Unknown(String),
    /// What follows `on-failure:`.
    #[error("maximum retry count {0:?} of restart policy on-failure is not a number from 0 on")]
    Count(String),
    /// A number where none belongs.
    #[error("restart policy {0} takes no maximum retry count: only on-failure does")]
    Uncounted(&'static str),
}

impl FromStr for Policy {
    type Err = InvalidPolicy;

    fn from_str(text: &str) -> Result<Self, InvalidPolicy> {
        let (name, count) = match text.split_once(':') {
            Some((name, count)) => (name, Some(count)),
            None => (text, None),
        };
        let policy = match name {
            "" | "no" => Self::No,
            "always" => Self::Always,
            "unless-stopped" => Self::UnlessStopped,
            "on-failure" => {
                let most = count.unwrap_or("0");
                return most.parse().map(Self::OnFailure).map_err(|_| InvalidPolicy::Count(most.to_owned()));
            }
            _ => return Err(InvalidPolicy::Unknown(text.to_owned())),
        };
        if count.is_some() { Err(InvalidPolicy::Uncounted(policy.name())) } else { Ok(policy) }
    }
}

/// What follows a payload's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The container has ended.
    End,
    /// The payload is started again after this time.
    After(Duration),
}

/// The restarts of one container since a user started it. Instants count from any fixed point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    count: u32,
    delay: Option<Duration>,
    started: Duration,
}

impl Restarts {
    /// How often the payload was started again.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The payload runs from `now` on.
    pub fn started(&mut self, now: Duration) {
        self.started = now;
    }

    /// The payload has ended with `code`; `stopped` where a user asked for it.
    pub fn ended(&mut self, policy: Policy, code: u8, stopped: bool, now: Duration) -> Decision {
        if stopped || !policy.wants(code, self.count) {
            return Decision::End;
        }
        if now.saturating_sub(self.started) >= SETTLED {
            self.delay = None;
        }
        let delay = self.delay.map_or(SHORTEST, |delay| (delay * 2).min(LONGEST));
        self.delay = Some(delay);
        self.count += 1;
        Decision::After(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    #[test]
    fn policies_are_read_and_written_as_docker_does() {
        for (text, policy) in [
            ("no", Policy::No),
            ("always", Policy::Always),
            ("unless-stopped", Policy::UnlessStopped),
            ("on-failure", Policy::OnFailure(0)),
            ("on-failure:3", Policy::OnFailure(3)),
        ] {
            assert_eq!(text.parse(), Ok(policy));
            assert_eq!(policy.to_string(), text);
        }
        assert_eq!("".parse(), Ok(Policy::No));
        for wrong in ["sometimes", "on-failure:x", "on-failure:-1", "always:3"] {
            assert!(wrong.parse::<Policy>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_delay_doubles_up_to_a_minute() {
        let mut restarts = Restarts::default();
        let delays: Vec<u128> = (0..12)
            .map(|_| match restarts.ended(Policy::Always, 0, false, AT_ONCE) {
                Decision::After(delay) => delay.as_millis(),
                Decision::End => 0,
            })
            .collect();
        let expected = [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000];
        assert_eq!(delays, expected);
        assert_eq!(restarts.count(), 12);
    }

    #[test]
    fn ten_seconds_of_running_reset_the_delay_but_not_the_count() {
        let mut restarts = Restarts::default();
        let policy = Policy::OnFailure(3);
        restarts.ended(policy, 1, false, AT_ONCE);
        restarts.ended(policy, 1, false, AT_ONCE);
        restarts.started(Duration::from_secs(5));
        let decision = restarts.ended(policy, 1, false, Duration::from_secs(15));
        assert_eq!(decision, Decision::After(Duration::from_millis(100)));
        assert_eq!(restarts.ended(policy, 1, false, Duration::from_secs(15)), Decision::End);
    }

    #[test]
    fn each_policy_decides() {
        let ends = |policy, code, stopped| {
            Restarts::default().ended(policy, code, stopped, AT_ONCE) == Decision::End
        };
        assert!(ends(Policy::No, 1, false));
        assert!(ends(Policy::OnFailure(0), 0, false));
        assert!(!ends(Policy::OnFailure(0), 1, false));
        assert!(!ends(Policy::Always, 0, false));
        assert!(ends(Policy::Always, 1, true));
        assert!(ends(Policy::UnlessStopped, 1, true));
        assert!(!ends(Policy::UnlessStopped, 0, false));
    }
}
