//! Flags of health checks.

use engine::config::Healthcheck;

use super::{Request, RequestFlag};
use crate::commands::flags::Section;
use crate::commands::values::{duration, integer};

/// What the flags say; zero is not given.
#[derive(Debug, Default)]
pub struct Health {
    off: bool,
    command: Option<String>,
    check: Healthcheck,
}

pub const SECTION: Section<Request> = Section {
    heading: "Health",
    flags: &[
        RequestFlag::value("health-cmd", "COMMAND", "The command that checks health", |request, value| {
            request.health.command = Some(value.to_owned());
            Ok(())
        }),
        RequestFlag::value(
            "health-interval",
            "DURATION",
            "Time between two checks (ms|s|m|h)",
            |request, value| {
                request.health.check.interval = positive(value)?;
                Ok(())
            },
        ),
        RequestFlag::value(
            "health-retries",
            "N",
            "Failures in a row that make it unhealthy",
            |request, value| {
                request.health.check.retries = not_negative(integer(value)?)?;
                Ok(())
            },
        ),
        RequestFlag::value(
            "health-start-interval",
            "DURATION",
            "Time between two checks while it starts (ms|s|m|h)",
            |request, value| {
                request.health.check.start_interval = positive(value)?;
                Ok(())
            },
        ),
        RequestFlag::value(
            "health-start-period",
            "DURATION",
            "Time in which failures do not count (ms|s|m|h)",
            |request, value| {
                request.health.check.start_period = positive(value)?;
                Ok(())
            },
        ),
        RequestFlag::value(
            "health-timeout",
            "DURATION",
            "How long one check may take (ms|s|m|h)",
            |request, value| {
                request.health.check.timeout = positive(value)?;
                Ok(())
            },
        ),
        RequestFlag::switch(
            "no-healthcheck",
            "Don't check health, whatever the image says",
            |request, on| {
                request.health.off = on;
            },
        ),
    ],
};

/// Zero takes the image's; what is shorter than a millisecond is taken for a mistake, as by Docker.
fn positive(text: &str) -> Result<i64, String> {
    match not_negative(duration(text)?)? {
        1..1_000_000 => Err("cannot be less than 1ms".to_owned()),
        nanoseconds => Ok(nanoseconds),
    }
}

fn not_negative(value: i64) -> Result<i64, String> {
    if value < 0 { Err("cannot be negative".to_owned()) } else { Ok(value) }
}

impl Health {
    /// The check; none where no flag speaks of it.
    pub fn resolve(self) -> Result<Option<Healthcheck>, String> {
        let asked = self.command.is_some() || self.check != Healthcheck::default();
        match (self.off, asked) {
            (true, true) => Err("--no-healthcheck conflicts with --health-* options".to_owned()),
            (true, false) => {
                Ok(Some(Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() }))
            }
            (false, false) => Ok(None),
            (false, true) => {
                let test = self.command.filter(|command| !command.is_empty());
                let test = test.map_or_else(Vec::new, |command| vec!["CMD-SHELL".to_owned(), command]);
                Ok(Some(Healthcheck { test, ..self.check }))
            }
        }
    }
}
