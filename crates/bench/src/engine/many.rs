//! Many containers at once: what each costs in memory, and how long it takes to start, list and stop all.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::peers::{Engine, IMAGE, quiet};
use super::{Bench, engine_run};
use crate::measure::{Figure, time, time_silent};
use crate::report::Goal;

/// Commands that run side by side.
const AT_ONCE: usize = 8;

/// Starts, lists and stops containers, and weighs what stands beside them.
pub fn run(bench: &mut Bench<'_>) -> Result<(), String> {
    let count = if bench.options.quick { 40 } else { 200 };
    bench.report.section(&format!("{count} idle containers"));
    let mut rows: [Vec<Figure>; 3] = Default::default();
    let mut memory = Vec::new();
    let mut failures = Vec::new();
    for engine in &bench.engines {
        match figures(engine, count) {
            Ok((times, bytes)) => {
                for (row, time) in rows.iter_mut().zip(times) {
                    row.push(once(engine.name, time));
                }
                memory.push((engine.beside_each(), bytes));
            }
            Err(problem) => failures.push(format!("{}: {problem}", engine.name)),
        }
    }
    let [start, list, stop] = rows;
    let half = |ratio| [Goal { name: "podman", ratio }];
    bench.report.row(&format!("run -d of {count}, {AT_ONCE} at once"), &start, &failures, &half(0.15));
    bench.report.row(&format!("ps with {count}"), &list, &[], &[]);
    bench.report.row(&format!("rm -f of {count}, {AT_ONCE} at once"), &stop, &[], &half(0.15));
    bench.report.weights("memory beside each container (PSS)", &memory, 300 << 10);
    if !bench.options.quick {
        thousand(bench)?;
    }
    Ok(())
}

/// A figure that was taken once.
fn once(name: &str, time: Duration) -> Figure {
    Figure { name: name.into(), median: time, tenth: time, ninetieth: time }
}

fn name(at: usize) -> String {
    format!("bench-many-{at}")
}

fn figures(engine: &Engine, count: usize) -> Result<([Duration; 3], u64), String> {
    let start = all(count, |at| {
        let mut command = engine_run(engine, &["-d", "--network", "none", "--name", &name(at), IMAGE]);
        command.args(["/bin/busybox", "sleep", "10000"]);
        command
    })?;
    // Monitors make themselves small when their container has lived for a while.
    std::thread::sleep(Duration::from_secs(2));
    let bytes = weigh(engine.beside_each(), count);
    let mut lists = Vec::new();
    for _ in 0..11 {
        lists.push(time(&mut engine.command("ps"))?);
    }
    lists.sort();
    let stop = all(count, |at| {
        let mut command = engine.command("rm");
        if engine.name == "podman" {
            // It would wait ten seconds for a program that takes no SIGTERM; the others kill at once.
            command.args(["-t", "0"]);
        }
        command.args(["-f", &name(at)]);
        command
    })?;
    Ok(([start, lists[5], stop], bytes?))
}

/// berth alone, for podman takes minutes.
fn thousand(bench: &mut Bench<'_>) -> Result<(), String> {
    let Some(berth) = bench.engines.iter().find(|engine| engine.name == "berth") else { return Ok(()) };
    let ([start, list, stop], bytes) = figures(berth, 1000)?;
    bench.report.section("1,000 idle containers");
    bench.report.row("run -d of 1,000, 8 at once", &[once("berth", start)], &[], &[]);
    bench.report.at_most("ps with 1,000", &[once("berth", list)], &[], Duration::from_millis(25));
    bench.report.row("rm -f of 1,000, 8 at once", &[once("berth", stop)], &[], &[]);
    bench.report.weights("memory beside each of 1,000", &[("berth-monitor", bytes)], 300 << 10);
    Ok(())
}

/// Runs `count` commands, [`AT_ONCE`] at a time; the time that all of them took.
fn all(count: usize, command: impl Fn(usize) -> Command + Sync) -> Result<Duration, String> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let worker = || loop {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if at >= count {
                return Ok(());
            }
            time_silent(quiet(&mut command(at)))?;
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a thread panicked".to_owned())))
    })?;
    Ok(start.elapsed())
}

/// The mean of the proportional memory of all processes of that name.
fn weigh(name: &str, count: usize) -> Result<u64, String> {
    let mut total = 0;
    let mut found = 0;
    for entry in fs::read_dir("/proc").map_err(|error| error.to_string())?.flatten() {
        let path = entry.path();
        let Ok(line) = fs::read(path.join("cmdline")) else { continue };
        let program = line.split(|byte| *byte == 0).next().unwrap_or_default();
        let program = String::from_utf8_lossy(program);
        if !program.rsplit('/').next().unwrap_or_default().starts_with(name) {
            continue;
        }
        let rollup = fs::read_to_string(path.join("smaps_rollup")).unwrap_or_default();
        let kib = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        total += kib.unwrap_or(0) * 1024;
        found += 1;
    }
    if found < count {
        return Err(format!("{found} processes called {name} stand beside {count} containers"));
    }
    Ok(total / found as u64)
}
