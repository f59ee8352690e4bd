//! How often and after which pause a request is made again.

use std::time::{Duration, SystemTime};

use ring::rand::{SecureRandom, SystemRandom};

use crate::Error;

/// The patience with a registry.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often a request is made before its error is final.
    pub attempts: u32,
    /// The pause after the first failure; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause, also where `Retry-After` asks for more.
    pub longest_pause: Duration,
    /// How long nothing may arrive.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            attempts: 5,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(60),
            stall: Duration::from_secs(30),
        }
    }
}

impl Patience {
    /// The pause before attempt `attempt` + 1, or `None` where `error` is final.
    pub(crate) fn pause_after(&self, attempt: u32, error: &Error) -> Option<Duration> {
        if attempt >= self.attempts || !error.is_transient() {
            return None;
        }
        let doubled = self.first_pause.saturating_mul(1 << (attempt - 1).min(16));
        let pause = error.retry_after().unwrap_or_else(|| jitter(doubled));
        Some(pause.min(self.longest_pause))
    }
}

/// Between half and all of `pause`, so that many clients don't come back at once.
fn jitter(pause: Duration) -> Duration {
    let mut random = [0; 1];
    // Without randomness the pause is merely less spread.
    let _ = SystemRandom::new().fill(&mut random);
    pause / 2 + pause / 2 * u32::from(random[0]) / 255
}

/// `Retry-After`, in seconds or as a date (RFC 9110 section 10.2.3).
pub(crate) fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transient() -> Error {
        Error::Transport { method: "GET".into(), url: "x".into(), reason: "reset".into() }
    }

    #[test]
    fn pauses_double_and_end() {
        let patience = Patience::default();
        let pause = |attempt| patience.pause_after(attempt, &transient());
        assert!(pause(1).unwrap() <= Duration::from_millis(250));
        assert!(pause(3).unwrap() >= Duration::from_millis(500));
        assert_eq!(pause(5), None);
        let last = Error::TooLarge { what: String::new(), limit: 1 };
        assert_eq!(patience.pause_after(1, &last), None);
    }

    #[test]
    fn the_server_sets_the_pause_within_reason() {
        let throttled = |seconds| Error::Status {
            method: "GET".into(),
            url: "x".into(),
            status: hyper::StatusCode::TOO_MANY_REQUESTS,
            errors: Vec::new(),
            retry_after: Some(Duration::from_secs(seconds)),
        };
        let patience = Patience::default();
        assert_eq!(patience.pause_after(1, &throttled(7)), Some(Duration::from_secs(7)));
        assert_eq!(patience.pause_after(1, &throttled(86_400)), Some(patience.longest_pause));
    }

    #[test]
    fn dates_and_seconds() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let parse = |value| parse_retry_after(value, now);
        assert_eq!(parse("120"), Some(Duration::from_secs(120)));
        assert_eq!(parse("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(parse("Sun, 06 Nov 1994 08:48:37 GMT"), Some(Duration::ZERO));
        assert_eq!(parse("soon"), None);
    }
}
