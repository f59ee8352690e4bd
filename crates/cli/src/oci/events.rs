//! `events`.

use std::io::Write;
use std::time::{Duration, Instant};

use clap::Args;
use oci::spec::Status;
use runtime::{Container, Failure};
use serde_json::{Value, json};

use super::{Global, Outcome};

#[derive(Args)]
pub struct Events {
    /// The container's name
    id: String,
    /// Time between two statistics, as 5s, 500ms or 1m30s
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    interval: Duration,
    /// Print statistics once and return
    #[arg(long)]
    stats: bool,
}

impl Events {
    pub fn run(self, global: &Global) -> Outcome {
        let container = global.open(&self.id)?;
        if self.interval.is_zero() {
            return Err(Failure::because("use", "--interval", "duration interval must be greater than 0"));
        }
        if container.status()? == Status::Stopped {
            let cause = format!("container with id {} is not running", self.id);
            return Err(Failure::because("show events of", "", cause));
        }
        if self.stats {
            print(&self.id, "stats", &stats(&container)?)?;
            return Ok(0);
        }
        self.follow(&container)
    }

    /// Until the container ends: statistics at each interval, and every process that the kernel kills for memory.
    fn follow(&self, container: &Container) -> Outcome {
        let failed = |error| Failure::because("watch", "the container's memory", error);
        let oom = container.cgroup().map(cgroup::Group::oom_events).transpose().map_err(failed)?.flatten();
        let mut kills = oom.as_ref().map(cgroup::OomEvents::kills).transpose().map_err(failed)?.unwrap_or(0);
        let mut next = Instant::now() + self.interval;
        while container.status()? != Status::Stopped {
            // Short enough to notice the container's end soon.
            let pause = next.saturating_duration_since(Instant::now()).min(Duration::from_millis(100));
            match &oom {
                Some(oom) => drop(oom.wait(pause).map_err(failed)?),
                None => std::thread::sleep(pause),
            }
            let now = oom.as_ref().and_then(|oom| oom.kills().ok()).unwrap_or(kills);
            for _ in kills..now {
                print(&self.id, "oom", &Value::Null)?;
            }
            kills = kills.max(now);
            if Instant::now() >= next {
                print(&self.id, "stats", &stats(container)?)?;
                next += self.interval;
            }
        }
        Ok(0)
    }
}

fn stats(container: &Container) -> Result<Value, Failure> {
    let failed = |error: cgroup::Error| Failure::because("read", "statistics", error);
    let stats = container.cgroup().map(cgroup::Group::stats).transpose().map_err(failed)?;
    let mut value = json!(stats);
    if let Value::Object(fields) = &mut value {
        fields.entry("intel_rdt").or_insert_with(|| json!({}));
        fields.entry("network_interfaces").or_insert(Value::Null);
    }
    Ok(value)
}

fn print(id: &str, kind: &str, data: &Value) -> Result<(), Failure> {
    let mut line = json!({"type": kind, "id": id});
    if !data.is_null() {
        line["data"] = data.clone();
    }
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    written.map_err(|error| Failure::new("write", "the event", error))
}

/// Go's form of a duration: numbers with `h`, `m`, `s` or `ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no duration: write 5s, 500ms or 1m30s");
    let (mut total, mut rest) = (Duration::ZERO, text);
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        let milliseconds = match &rest[digits..unit] {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1000,
            "ms" => 1,
            _ => return Err(bad()),
        };
        total += Duration::from_millis(number.checked_mul(milliseconds).ok_or_else(bad)?);
        rest = &rest[unit..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "5", "s", "5x", "-1s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
