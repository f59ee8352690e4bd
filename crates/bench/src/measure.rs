//! Timing commands that take turns.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What is timed; wall-clock time where nobody says.
pub static CLOCK: OnceLock<Clock> = OnceLock::new();

/// What passes while a command runs.
#[derive(Clone, Copy)]
pub enum Clock {
    /// Time, which other work on the machine makes longer.
    Wall,
    /// User and system time of the command and of all that it started and waited for.
    Cpu,
}

/// A stopwatch.
enum Start {
    Wall(Instant),
    Cpu(Duration),
}

impl Start {
    fn now() -> Result<Self, String> {
        Ok(match CLOCK.get() {
            Some(Clock::Cpu) => Self::Cpu(cpu_time()?),
            _ => Self::Wall(Instant::now()),
        })
    }

    fn elapsed(&self) -> Result<Duration, String> {
        match self {
            Self::Wall(start) => Ok(start.elapsed()),
            Self::Cpu(start) => Ok(cpu_time()? - *start),
        }
    }
}

fn cpu_time() -> Result<Duration, String> {
    sys::process::cpu_time_of_children().map_err(|error| error.to_string())
}

/// One contestant of a row.
pub struct Contestant<'a> {
    /// Its name in the table.
    pub name: String,
    /// One run: gives what was timed of it.
    pub run: Box<dyn FnMut() -> Result<Duration, String> + 'a>,
}

/// What was measured of one contestant.
pub struct Figure {
    /// Its name in the table.
    pub name: String,
    /// The middle.
    pub median: Duration,
    /// A tenth was faster.
    pub tenth: Duration,
    /// A tenth was slower.
    pub ninetieth: Duration,
}

/// Lets all run in turn, `warm_up` and then `runs` times. A contestant that fails is left out, and said so.
pub fn race(contestants: Vec<Contestant<'_>>, warm_up: usize, runs: usize) -> (Vec<Figure>, Vec<String>) {
    let mut failures = Vec::new();
    let mut times: Vec<(Contestant<'_>, Vec<Duration>)> =
        contestants.into_iter().map(|contestant| (contestant, Vec::with_capacity(runs))).collect();
    for round in 0..warm_up + runs {
        times.retain_mut(|(contestant, times)| match (contestant.run)() {
            Ok(time) => {
                if round >= warm_up {
                    times.push(time);
                }
                true
            }
            Err(problem) => {
                failures.push(format!("{}: {problem}", contestant.name));
                false
            }
        });
    }
    let figures = times.into_iter().filter(|(_, times)| !times.is_empty());
    (figures.map(|(contestant, times)| summary(&contestant.name, times)).collect(), failures)
}

/// What times come to; there is one at least.
pub fn summary(name: &str, mut times: Vec<Duration>) -> Figure {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 10];
    Figure { name: name.to_owned(), median: at(5), tenth: at(1), ninetieth: at(9) }
}

/// Runs a command to its end; the time from before its start to after its end.
pub fn time(command: &mut Command) -> Result<Duration, String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let start = Start::now()?;
    let child = command.spawn().map_err(|error| error.to_string())?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let time = start.elapsed()?;
    if output.status.success() {
        Ok(time)
    } else {
        Err(format!(
            "{:?}: {}: {}",
            command.get_args(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        ))
    }
}

/// The same where nobody may hold the pipe open: output is thrown away.
pub fn time_silent(command: &mut Command) -> Result<Duration, String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Start::now()?;
    let status = command.status().map_err(|error| error.to_string())?;
    let time = start.elapsed()?;
    if status.success() { Ok(time) } else { Err(format!("{:?}: {status}", command.get_args())) }
}
