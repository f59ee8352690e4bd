//! Measures the monitor: `measure speed MIB [ROUNDS]` and `measure memory MONITORS`. Uses the example `attend` beside it.
//!
//! - speed: how long a payload takes to write lines into a log of driver `local`, against `cat lines > file`; medians,
//!   interleaved.
//! - memory: the proportional set size of idle monitors, by kind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use monitor::log::{About, Config as Log};
use monitor::restart::Policy;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |at: usize| args.get(at).and_then(|text| text.parse::<usize>().ok());
    let dir = std::env::temp_dir().join(format!("measure-monitor-{}", std::process::id()));
    std::fs::create_dir(&dir).expect("a directory");
    match (args.get(1).map(String::as_str), number(2)) {
        (Some("speed"), Some(mib)) => speed(&dir, mib, number(3).unwrap_or(5)),
        (Some("memory"), Some(monitors)) => memory(&dir, monitors),
        _ => println!("measure speed MIB [ROUNDS] | measure memory MONITORS"),
    }
    std::fs::remove_dir_all(&dir).expect("the directory");
}

/// A monitor of `script` in a directory of its own.
fn start(dir: &Path, script: &str, log_driver: &str) -> Child {
    std::fs::create_dir(dir).expect("a directory");
    let attend = std::env::current_exe().expect("own path").with_file_name("attend");
    let settings = dir.join("settings.json");
    let about =
        About { id: "c0ffee", name: "box", image_id: "", image: "", labels: &BTreeMap::new(), env: &[] };
    let log = Log::new(log_driver, &BTreeMap::new(), &about, dir.join("logs")).expect("a log");
    let config = monitor::Config {
        tty: false,
        console_size: None,
        open_stdin: false,
        stdin_once: false,
        log,
        runtime_dir: dir.to_owned(),
        checks: None,
        again: Some(vec![attend.clone().into(), settings.clone().into()]),
    };
    let content = serde_json::json!({ "config": config, "script": script, "policy": Policy::No });
    std::fs::write(&settings, content.to_string()).expect("settings");
    let mut command = Command::new(attend);
    command.arg(settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a monitor")
}

fn speed(dir: &Path, mib: usize, rounds: usize) {
    let lines = dir.join("lines");
    let line = "2026-11-26T10:00:00 INFO request handled path=/index.html status=200 time=0.0123s\n";
    std::fs::write(&lines, line.repeat((mib << 20) / line.len())).expect("lines");
    let cat = format!("exec cat {}", lines.display());
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for round in 0..rounds {
        let copy = dir.join("copy");
        let begin = Instant::now();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{cat} > {}", copy.display())]);
        assert!(shell.status().expect("cat").success());
        times.entry("file").or_default().push(begin.elapsed());
        std::fs::remove_file(&copy).expect("the copy");
        for driver in ["local", "json-file"] {
            let run = dir.join(format!("{driver}{round}"));
            let begin = Instant::now();
            let mut monitor = start(&run, &cat, driver);
            assert!(monitor.wait().expect("the monitor").success());
            times.entry(driver).or_default().push(begin.elapsed());
            std::fs::remove_dir_all(&run).expect("its directory");
        }
    }
    let median = |name: &str| {
        let mut all = times[name].clone();
        all.sort_unstable();
        all[all.len() / 2].as_secs_f64()
    };
    let file = median("file");
    println!("{mib} MiB, {rounds} rounds: cat > file {file:.3} s");
    for driver in ["local", "json-file"] {
        println!(
            "{driver}: {:.3} s, {:.2} of the speed of cat > file",
            median(driver),
            file / median(driver)
        );
    }
}

fn memory(dir: &Path, monitors: usize) {
    let runs: Vec<(PathBuf, Child)> = (0..monitors)
        .map(|n| {
            let run = dir.join(n.to_string());
            let child = start(&run, "exec sleep 1000", "local");
            (run, child)
        })
        .collect();
    let is_idle = |(run, _): &(PathBuf, Child)| {
        std::fs::read_to_string(run.join("events")).is_ok_and(|events| events.contains("resumed"))
    };
    while !runs.iter().all(is_idle) {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(2));
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (_, child) in &runs {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", child.id())).expect("smaps");
        for line in text.lines().filter(|line| line.contains("Pss") || line.starts_with("Private_Dirty")) {
            let mut words = line.split_whitespace();
            let (Some(name), Some(kib)) = (words.next(), words.next()) else { continue };
            *sums.entry(name.to_owned()).or_default() += kib.parse().unwrap_or(0);
        }
    }
    println!("{monitors} idle monitors, KiB each:");
    for (name, sum) in sums {
        println!("  {name} {:.1}", sum as f64 / monitors as f64);
    }
    for (_, mut child) in runs {
        let pid = rustix::process::Pid::from_child(&child);
        // It goes on to the payload.
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("kill");
        child.wait().expect("the monitor");
    }
}
