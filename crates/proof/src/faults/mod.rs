//! `cargo xtask faults`: real command sequences, in which one system call after the other is a process's last, or fails.
//!
//! ```text
//! driver ── order without faults ──► worker: runs the sequence once, prints the calls of each process
//!        ── order with faults ─────► workers, several at once, each on a ground of its own; for each fault:
//!                                      run the sequence up to the fault, let its command end,
//!                                      check what must hold, and that nothing is left
//!        ◄── a line per fault ──────
//! ```

mod containers;
mod engine;
mod follow;
mod images;
mod point;
mod recovery;
mod sequence;
mod worker;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Instant;

use testkit::{DockerRegistry, Testbed};

use point::{Fault, Path, Point, call_name, errors_of};
use sequence::Sequence;
use worker::{Order, Verdict};

pub use worker::work;

/// All sequences.
fn sequences() -> Vec<Box<dyn Sequence>> {
    vec![
        Box::new(containers::Life),
        Box::new(containers::Foreground),
        Box::<images::Images>::default(),
        Box::<engine::Engine>::default(),
        Box::<engine::Network>::default(),
    ]
}

/// What the command line says.
struct Options {
    berth: PathBuf,
    kill: bool,
    errors: bool,
    budget: usize,
    skip: usize,
    jobs: usize,
    filter: String,
}

fn options(args: &[String]) -> Result<Options, String> {
    let jobs = std::thread::available_parallelism().map_or(2, usize::from);
    let mut options = Options {
        berth: PathBuf::new(),
        kill: true,
        errors: true,
        budget: 10_000,
        skip: 0,
        jobs,
        filter: String::new(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        let number = |text: &String| text.parse().map_err(|_| format!("{arg} {text}: no number"));
        match arg.as_str() {
            "--kill" => options.errors = false,
            "--errors" => options.kill = false,
            "--berth" => options.berth = value()?.into(),
            "--budget" => options.budget = number(value()?)?,
            "--skip" => options.skip = number(value()?)?,
            "--jobs" => options.jobs = number(value()?)?,
            flag if flag.starts_with('-') => return Err(format!("unknown flag {flag}")),
            filter => options.filter = filter.to_owned(),
        }
    }
    if options.berth.as_os_str().is_empty() {
        return Err("--berth is missing".to_owned());
    }
    Ok(options)
}

/// What became of all faults.
#[derive(Default)]
struct Count {
    recovered: usize,
    not_reached: usize,
    lost: usize,
}

/// Runs the driver.
pub fn run(args: &[String]) -> Result<(), String> {
    let options = options(args)?;
    let bed = Testbed::new();
    let registry = DockerRegistry::start(&bed);
    let started = Instant::now();
    let (wanted, place) = match options.filter.split_once('/') {
        Some((sequence, place)) => (sequence, Some(place)),
        None => (options.filter.as_str(), None),
    };
    let mut plans = Vec::new();
    for sequence in sequences() {
        let name = sequence.name();
        if if place.is_some() { name != wanted } else { !name.contains(wanted) } {
            continue;
        }
        let order = Order {
            sequence: name.to_owned(),
            berth: options.berth.clone(),
            registry: registry.address().to_owned(),
            points: Vec::new(),
        };
        let points = points(&order, &options, place)?;
        println!("{name}: {} faults", points.len());
        plans.push((order, points));
    }
    let all: usize = plans.iter().map(|(_, points)| points.len()).sum();
    if all == 0 {
        return Err(format!("nothing is called {:?}", options.filter));
    }
    let mut total = Count::default();
    for (order, points) in plans {
        let share = |number: usize| (number * points.len()).div_ceil(all);
        let (skip, budget) = (share(options.skip), share(options.budget));
        let count = inject_all(&order, &chosen(&order.sequence, points, skip, budget), options.jobs)?;
        total.recovered += count.recovered;
        total.not_reached += count.not_reached;
        total.lost += count.lost;
    }
    println!(
        "{} injected, {} recovered, {} lost, {} not reached, {:.0} s",
        total.recovered + total.lost,
        total.recovered,
        total.lost,
        total.not_reached,
        started.elapsed().as_secs_f64()
    );
    if total.lost == 0 { Ok(()) } else { Err(format!("{} faults were not recovered from", total.lost)) }
}

/// The faults of a sequence: the one at `place`, or those of every call whose place begins so.
fn points(order: &Order, options: &Options, place: Option<&str>) -> Result<Vec<Point>, String> {
    if let Some(Ok(point)) = place.map(str::parse) {
        return Ok(vec![point]);
    }
    let mut recorder = spawn(order)?;
    let stdout = recorder.stdout.take().ok_or("no stdout of a worker")?;
    let text = std::io::read_to_string(stdout).map_err(|error| format!("read a record: {error}"))?;
    ended_well(recorder)?;
    let record = worker::record_from_json(&text).ok_or_else(|| format!("this is no record: {text}"))?;
    let mut points = Vec::new();
    for (path, calls) in record {
        for (index, number) in calls.into_iter().enumerate() {
            points.extend(faults_at(&path, index + 1, number, options));
        }
    }
    points.retain(|point| place.is_none_or(|place| point.to_string().starts_with(place)));
    Ok(points)
}

fn faults_at(path: &Path, call: usize, number: u64, options: &Options) -> Vec<Point> {
    let errors =
        errors_of(call_name(number)).iter().filter(|_| options.errors).map(|errno| Fault::Fail(*errno));
    let kill = options.kill.then_some(Fault::Kill);
    let point = |fault| Point { path: path.clone(), call, fault };
    kill.into_iter().chain(errors).map(point).collect()
}

/// At most `budget` of them, without the first `skip`, in an order that looks like chance and depends on each point's name
/// alone: where a process makes a call more than the last time, the others' turns stay.
fn chosen(sequence: &str, mut points: Vec<Point>, skip: usize, budget: usize) -> Vec<Point> {
    points.sort_by_cached_key(|point| fnv1a(&format!("{sequence}/{point}")));
    points.into_iter().skip(skip).take(budget).collect()
}

/// The 64-bit hash of Fowler, Noll and Vo, the same on every machine and with every compiler.
fn fnv1a(text: &str) -> u64 {
    let prime = 0x0100_0000_01b3;
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(prime))
}

fn inject_all(order: &Order, points: &[Point], jobs: usize) -> Result<Count, String> {
    let (sender, receiver) = channel();
    for job in 0..jobs.clamp(1, points.len().max(1)) {
        let points: Vec<Point> = points.iter().skip(job).step_by(jobs.max(1)).cloned().collect();
        let (order, sender) = (Order { points, ..order.clone() }, sender.clone());
        // Nobody listens any more once the driver has failed.
        std::thread::spawn(move || inject(order, &|news| drop(sender.send(news))));
    }
    drop(sender);
    let mut count = Count::default();
    for news in receiver {
        let line = news?;
        let Some((point, call, verdict)) = Verdict::from_json(&line) else {
            return Err(format!("a worker says {line:?}"));
        };
        match verdict {
            Verdict::Recovered => count.recovered += 1,
            Verdict::NotReached => count.not_reached += 1,
            Verdict::Lost(why) => {
                count.lost += 1;
                println!("LOST {}/{point} ({call}): {why}", order.sequence);
            }
        }
        let done = count.recovered + count.not_reached + count.lost;
        if done.is_multiple_of(500) {
            println!("{}: {done} of {}, {} lost", order.sequence, points.len(), count.lost);
        }
    }
    Ok(count)
}

/// Has one worker after the other go through the points: one whose ground stays bad after a fault ends, and the next goes on
/// with new ground where it had come to.
fn inject(mut order: Order, tell: &dyn Fn(Result<String, String>)) {
    while !order.points.is_empty() {
        match inject_some(&order, tell) {
            Ok((told, _)) if told == order.points.len() => return,
            Ok((told, Err(_))) if told > 0 => drop(order.points.drain(..told)),
            Ok((told, ended)) => {
                let ended = ended.err().unwrap_or_else(|| format!("a worker ended after {told} faults"));
                return tell(Err(ended));
            }
            Err(problem) => return tell(Err(problem)),
        }
    }
}

/// How many faults a worker told of, and how it ended.
fn inject_some(
    order: &Order,
    tell: &dyn Fn(Result<String, String>),
) -> Result<(usize, Result<(), String>), String> {
    let mut worker = spawn(order)?;
    let stdout = worker.stdout.take().ok_or("no stdout of a worker")?;
    let mut told = 0;
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        told += 1;
        tell(Ok(line));
    }
    Ok((told, ended_well(worker)))
}

fn spawn(order: &Order) -> Result<Child, String> {
    let myself = std::env::current_exe().map_err(|error| format!("find this program: {error}"))?;
    let mut worker = Command::new(myself)
        .arg("faults-worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("start a worker: {error}"))?;
    let mut stdin = worker.stdin.take().ok_or("no stdin of a worker")?;
    stdin.write_all(order.to_json().as_bytes()).map_err(|error| format!("write to a worker: {error}"))?;
    Ok(worker)
}

fn ended_well(mut worker: Child) -> Result<(), String> {
    let status = worker.wait().map_err(|error| format!("wait for a worker: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("a worker ended with {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(calls: std::ops::RangeInclusive<usize>) -> Vec<Point> {
        calls.map(|call| Point { path: Path(vec![0]), call, fault: Fault::Kill }).collect()
    }

    #[test]
    fn pieces_are_all_faults_once() {
        let first = chosen("oci", places(1..=100), 0, 40);
        let rest = chosen("oci", places(1..=100), 40, 100);
        let mut calls: Vec<usize> = first.iter().chain(&rest).map(|point| point.call).collect();
        assert_eq!(first.len(), 40);
        calls.sort_unstable();
        assert_eq!(calls, (1..=100).collect::<Vec<_>>());
    }

    #[test]
    fn one_call_more_leaves_the_choice() {
        let (before, after) = (chosen("oci", places(1..=100), 0, 50), chosen("oci", places(1..=101), 0, 50));
        let stay = before.iter().filter(|point| after.contains(point)).count();
        assert!(stay >= 49, "{stay} stay");
    }

    #[test]
    fn orders_come_through() {
        let points = vec!["0.1#3=kill".parse().unwrap()];
        let order = Order { sequence: "oci".into(), berth: "/b".into(), registry: "r".into(), points };
        let json: serde_json::Value = serde_json::from_str(&order.to_json()).unwrap();
        assert_eq!(json["points"][0], "0.1#3=kill");
    }
}
