//! A process of one thread that injects faults, one after the other, into runs of one sequence.
//!
//! It reads its [`Order`] from stdin as JSON, and prints a line of JSON for each fault.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::{Value, json};
use testkit::Testbed;

use super::follow::{Ended, Follower, PATIENCE};
use super::point::{Fault, Path, Point, call_name};
use super::sequence::{Ground, Hit, Sequence, Step, crash};

/// What a worker is to do.
#[derive(Debug, Clone)]
pub struct Order {
    pub sequence: String,
    pub berth: PathBuf,
    pub registry: String,
    /// The faults; none to record the calls of all processes.
    pub points: Vec<Point>,
}

impl Order {
    pub fn to_json(&self) -> String {
        let points: Vec<String> = self.points.iter().map(ToString::to_string).collect();
        let berth = self.berth.display().to_string();
        json!({"sequence": self.sequence, "berth": berth, "registry": self.registry, "points": points})
            .to_string()
    }

    fn from_json(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let field = |name: &str| value[name].as_str().map(str::to_owned);
        let points = value["points"].as_array()?.iter();
        let points: Option<Vec<Point>> = points.map(|point| point.as_str()?.parse().ok()).collect();
        Some(Self {
            sequence: field("sequence")?,
            berth: field("berth")?.into(),
            registry: field("registry")?,
            points: points?,
        })
    }
}

/// What came of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All is well again.
    Recovered,
    /// This run took another way, and did not come there.
    NotReached,
    /// Something is not as it should be.
    Lost(String),
}

impl Verdict {
    fn to_json(&self, point: &Point, call: &str) -> String {
        let (verdict, why) = match self {
            Self::Recovered => ("recovered", ""),
            Self::NotReached => ("not reached", ""),
            Self::Lost(why) => ("lost", why.as_str()),
        };
        json!({"point": point.to_string(), "call": call, "verdict": verdict, "why": why}).to_string()
    }

    /// Reads a worker's line: the point, the call that was hit, what came of it.
    pub fn from_json(line: &str) -> Option<(String, String, Self)> {
        let value: Value = serde_json::from_str(line).ok()?;
        let verdict = match value["verdict"].as_str()? {
            "recovered" => Self::Recovered,
            "not reached" => Self::NotReached,
            _ => Self::Lost(value["why"].as_str()?.to_owned()),
        };
        Some((value["point"].as_str()?.to_owned(), value["call"].as_str()?.to_owned(), verdict))
    }
}

/// What a worker's main function does.
pub fn work() -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| format!("read the order: {error}"))?;
    let order = Order::from_json(&text).ok_or("the order is not understood")?;
    let sequence = super::sequences().into_iter().find(|known| known.name() == order.sequence);
    let sequence = sequence.ok_or_else(|| format!("there is no sequence {}", order.sequence))?;
    let ground = Ground { bed: Testbed::new(), berth: order.berth, registry: order.registry };
    let mut follower = Follower::new(&ground.berth).map_err(|error| format!("follow processes: {error}"))?;
    let outcome = prepared(sequence.as_ref(), &ground, &mut follower, &order.points);
    follower.kill_all().map_err(|error| error.to_string())?;
    outcome
}

fn prepared(
    sequence: &dyn Sequence,
    ground: &Ground,
    follower: &mut Follower,
    points: &[Point],
) -> Result<(), String> {
    sequence.prepare(ground, follower)?;
    if points.is_empty() {
        follower.begin(None);
        whole(sequence, ground, follower)?;
        println!("{}", record_to_json(&follower.take_record()));
        return Ok(());
    }
    for point in points {
        let (verdict, call) = inject(sequence, ground, follower, point);
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", verdict.to_json(point, call)).map_err(|error| format!("write: {error}"))?;
        if matches!(verdict, Verdict::Lost(_)) {
            clean_up(sequence, ground, follower)?;
        }
    }
    Ok(())
}

/// Runs the sequence without a fault.
fn whole(sequence: &dyn Sequence, ground: &Ground, follower: &mut Follower) -> Result<(), String> {
    for step in sequence.steps(ground) {
        let ended = follower.step(&step.command).map_err(|error| error.to_string())?;
        if !ended.succeeded() {
            return Err(format!("`{}` fails without a fault: {}", step.command.line(), ended.told()));
        }
    }
    sequence.recover(ground, follower, None)
}

/// Runs the sequence with a fault.
fn inject(
    sequence: &dyn Sequence,
    ground: &Ground,
    follower: &mut Follower,
    point: &Point,
) -> (Verdict, &'static str) {
    follower.begin(Some(point.clone()));
    let (step, ended) = match run_to_fault(sequence, ground, follower) {
        Ok(last) => last,
        Err(error) => return (Verdict::Lost(format!("follow processes: {error}")), ""),
    };
    let Some(number) = follower.fired() else {
        follower.disarm();
        let outcome = sequence.recover(ground, follower, None);
        return (outcome.map_or_else(Verdict::Lost, |()| Verdict::NotReached), "");
    };
    let call = call_name(number);
    let without_memory = matches!(call, "brk" | "mmap" | "mprotect" | "mremap");
    let hit = Hit { step: &step, ended: &ended, kill: point.fault == Fault::Kill, without_memory };
    let verdict = complaint(&hit).map_or(Ok(()), Err);
    let verdict = verdict.and_then(|()| sequence.recover(ground, follower, Some(&hit)));
    (verdict.map_or_else(|why| lost(&hit, &why), |()| Verdict::Recovered), call)
}

/// Runs the sequence until the fault hit, or to its end; the last command that was run, and how it ended.
fn run_to_fault(
    sequence: &dyn Sequence,
    ground: &Ground,
    follower: &mut Follower,
) -> io::Result<(Step, Ended)> {
    let mut last = None;
    for step in sequence.steps(ground) {
        let ended = follower.step(&step.command)?;
        last = Some((step, ended));
        if follower.fired().is_some() {
            break;
        }
    }
    if follower.fired().is_none() {
        // Who outlives the last command may yet come there; a fault in what recovers would be none of the sequence.
        follower.settle(PATIENCE / 4)?;
    }
    last.ok_or_else(|| io::Error::other("the sequence has no commands"))
}

fn lost(hit: &Hit, why: &str) -> Verdict {
    Verdict::Lost(format!("in `{}` ({}): {why}", hit.step.command.line(), hit.ended.told()))
}

/// What is wrong with how a command took a fault.
fn complaint(hit: &Hit) -> Option<String> {
    match crash(hit.ended) {
        Some("is killed") if hit.kill => None,
        Some("is killed" | "panics") if hit.without_memory => None,
        Some(crash) => Some(format!("it {crash}")),
        // A program that was killed says nothing either.
        None if hit.kill && hit.ended.status.and_then(|status| status.code()) == Some(137) => None,
        None if !hit.ended.succeeded() && hit.ended.stderr.trim().is_empty() && !hit.without_memory => {
            Some("it fails without a word".to_owned())
        }
        None => None,
    }
}

/// Makes good ground for the next fault, whatever the last one left.
fn clean_up(sequence: &dyn Sequence, ground: &Ground, follower: &mut Follower) -> Result<(), String> {
    follower.kill_all().map_err(|error| error.to_string())?;
    ground.bed.sweep();
    // Twice: what hinders the first may be gone then.
    let first = sequence.recover(ground, follower, None);
    first.or_else(|_| sequence.recover(ground, follower, None))
}

fn record_to_json(record: &BTreeMap<Path, Vec<u64>>) -> String {
    let rows: Vec<Value> = record.iter().map(|(path, calls)| json!([path.0, calls])).collect();
    Value::from(rows).to_string()
}

/// Reads what a recording worker prints.
pub fn record_from_json(text: &str) -> Option<BTreeMap<Path, Vec<u64>>> {
    let rows: Vec<Value> = serde_json::from_str(text).ok()?;
    let numbers =
        |value: &Value| -> Option<Vec<u64>> { value.as_array()?.iter().map(Value::as_u64).collect() };
    rows.iter()
        .map(|row| {
            let path =
                numbers(&row[0])?.iter().map(|number| u32::try_from(*number).ok()).collect::<Option<_>>()?;
            Some((Path(path), numbers(&row[1])?))
        })
        .collect()
}
