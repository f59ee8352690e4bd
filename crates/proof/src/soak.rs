//! `cargo xtask soak`: any commands, many at once, while what `inspect` says is compared with what runs; then everything is
//! removed, and nothing may be left.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sys::process::NamespaceFlags;
use testkit::Testbed;

use crate::truth::{self, Truth, soon_true};

/// How long one command may take among so many.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the command line says.
struct Options {
    berth: PathBuf,
    seconds: f64,
    parallel: usize,
}

/// The commands, with `NAME` for one of the containers, `TAG` for an image's other name, `VOLUME` for a volume, `NET` for a
/// network, `FILE` for a file of the worker's; and how often each is drawn.
const MIX: &[(usize, &str)] = &[
    (6, "run -d --network none --name NAME -v VOLUME:/data app:1 sleep 1000"),
    (4, "run -d --network NET --name NAME app:1 sleep 1000"),
    (1, "run -d --network NET -P --expose 80 --restart always --name NAME app:1 sleep 1"),
    (4, "run --rm --network none app:1 true"),
    (2, "run --rm app:1 true"),
    (4, "exec NAME true"),
    (2, "logs NAME"),
    (2, "pause NAME"),
    (3, "unpause NAME"),
    (2, "stop -t 0 NAME"),
    (2, "start NAME"),
    (1, "restart -t 0 NAME"),
    (1, "kill NAME"),
    (6, "rm -f NAME"),
    (1, "rename NAME OTHER"),
    (1, "update --pids-limit 100 NAME"),
    (1, "cp NAME:/bin/busybox FILE"),
    (1, "commit NAME TAG"),
    (2, "inspect NAME"),
    (3, "ps -a"),
    (1, "images"),
    (2, "tag app:1 TAG"),
    (1, "rmi TAG"),
    (1, "save -o FILE app:1"),
    (1, "volume rm VOLUME"),
    (2, "network create NET"),
    (1, "network connect NET NAME"),
    (1, "network disconnect NET NAME"),
    (1, "network rm NET"),
    (1, "gc"),
];

/// What a worker counted: per command, how often it was run and how often it was refused; and what must not be.
#[derive(Default)]
struct Count {
    commands: BTreeMap<&'static str, (usize, usize)>,
    violations: Vec<String>,
}

/// Runs the mix.
pub fn run(args: &[String]) -> Result<(), String> {
    let options = options(args)?;
    // The networks are made in a namespace that ends with us: the threads begin in it.
    sys::process::unshare(NamespaceFlags::NET)
        .and_then(|()| sys::net::loopback_up())
        .map_err(|error| format!("make a network namespace: {error}"))?;
    let bed = Testbed::new();
    let ground =
        Ground { root: bed.path().join("root"), berth: options.berth.clone(), dir: bed.path().to_owned() };
    ground.import(&bed)?;
    let (before, end) = (Disk::of(&ground.root), Instant::now() + Duration::from_secs_f64(options.seconds));
    let names: Vec<String> =
        (0..options.parallel * 2).map(|number| format!("{}-{number}", bed.name())).collect();
    let (counts, watched) = std::thread::scope(|scope| {
        let (ground, names) = (&ground, &names);
        let watcher = scope.spawn(move || watch(ground, names, end));
        let workers: Vec<_> = (0..options.parallel)
            .map(|worker| scope.spawn(move || work(ground, names, worker, end)))
            .collect();
        let counts: Vec<Count> =
            workers.into_iter().map(|worker| worker.join().unwrap_or_default()).collect();
        (counts, watcher.join().unwrap_or_default())
    });
    let mut violations: Vec<String> = counts.iter().flat_map(|count| count.violations.clone()).collect();
    violations.extend(watched.violations.iter().cloned());
    let mut commands: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (command, (run, refused)) in counts.iter().flat_map(|count| &count.commands) {
        let sum = commands.entry(command).or_default();
        *sum = (sum.0 + run, sum.1 + refused);
    }
    violations.extend(ground.sweep().err());
    let after = Disk::of(&ground.root);
    violations.extend(ground.remove_images().err());
    let leaks = bed.leaks();
    violations.extend(leaks.iter().map(|leak| format!("left behind: {leak}")));
    for (command, (run, refused)) in &commands {
        println!("{run:7} {refused:7} refused  {command}");
    }
    let total: usize = commands.values().map(|(run, _)| run).sum();
    println!(
        "{total} commands in {:.0} s, {} at once; {} looks at what is true; {} failures, {} leaks",
        options.seconds,
        options.parallel,
        watched.looks,
        violations.len(),
        leaks.len()
    );
    println!("a monitor's memory (PSS, mean): {}", watched.memory());
    println!("the root's disk: {before} before, {after} when all was removed but the image");
    if violations.is_empty() { Ok(()) } else { Err(violations.join("\n")) }
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options { berth: PathBuf::new(), seconds: 300.0, parallel: 16 };
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let wrong = |_| format!("{flag} {value}: no number");
        match flag.as_str() {
            "--berth" => options.berth = value.into(),
            "--seconds" => {
                options.seconds = value.parse().map_err(|_| format!("{flag} {value}: no number"))?;
            }
            "--parallel" => options.parallel = value.parse().map_err(wrong)?,
            _ => return Err(format!("unknown flag {flag}")),
        }
    }
    if options.berth.as_os_str().is_empty() { Err("--berth is missing".to_owned()) } else { Ok(options) }
}

/// Where all workers work.
struct Ground {
    root: PathBuf,
    berth: PathBuf,
    dir: PathBuf,
}

/// How a command ended; no status where it did not.
struct Ended {
    status: Option<ExitStatus>,
    stdout: String,
    stderr: String,
}

impl Ground {
    fn import(&self, bed: &Testbed) -> Result<(), String> {
        let bundle = bed.bundle();
        let archive = self.dir.join("rootfs.tar");
        let mut pack = Command::new("tar");
        let packed = pack.arg("-cf").arg(&archive).arg("-C").arg(bundle.rootfs()).arg(".").status();
        if !packed.is_ok_and(|status| status.success()) {
            return Err("tar: makes no archive".to_owned());
        }
        self.must(&["import", &archive.display().to_string(), "app:1"]).map(drop)
    }

    fn berth(&self, worker: &str, args: &[&str]) -> Result<Ended, String> {
        let failed = |error: std::io::Error| format!("berth {}: {error}", args.join(" "));
        let (out, err) = (self.dir.join(format!("out{worker}")), self.dir.join(format!("err{worker}")));
        let mut child = Command::new(&self.berth)
            .arg("--root")
            .arg(&self.root)
            .args(args)
            .stdin(Stdio::null())
            .stdout(File::create(&out).map_err(failed)?)
            .stderr(File::create(&err).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match child.try_wait().map_err(failed)? {
                Some(status) => break Some(status),
                None if Instant::now() > deadline => {
                    child.kill().and_then(|()| child.wait()).map_err(failed)?;
                    break None;
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let text = |path: &Path| std::fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned());
        Ok(Ended { status, stdout: text(&out).map_err(failed)?, stderr: text(&err).map_err(failed)? })
    }

    fn must(&self, args: &[&str]) -> Result<String, String> {
        let ended = self.berth("", args)?;
        if ended.status.is_some_and(|status| status.success()) {
            return Ok(ended.stdout);
        }
        Err(format!("`berth {}` in the end: {}", args.join(" "), ended.stderr.trim()))
    }

    /// Removes everything but images, as a user would.
    fn sweep(&self) -> Result<(), String> {
        for id in self.must(&["ps", "-a", "-q", "--no-trunc"])?.lines() {
            self.must(&["rm", "-f", "-v", id])?;
        }
        self.must(&["volume", "prune", "-a", "-f"])?;
        self.must(&["network", "prune", "-f"])?;
        for image in self.must(&["images", "--format", "{{.Repository}}:{{.Tag}}"])?.lines() {
            if !image.ends_with("app:1") && !image.starts_with("<none>") {
                self.must(&["rmi", "-f", image])?;
            }
        }
        self.must(&["image", "prune", "-f"])?;
        self.must(&["gc"]).map(drop)
    }

    fn remove_images(&self) -> Result<(), String> {
        self.must(&["image", "prune", "-a", "-f"])?;
        self.must(&["gc"])?;
        match self.must(&["fsck"])?.as_str() {
            "clean\n" => Ok(()),
            told => Err(format!("fsck in the end: {}", told.trim())),
        }
    }
}

fn work(ground: &Ground, names: &[String], worker: usize, end: Instant) -> Count {
    let (mut count, mut dice) = (Count::default(), Dice(worker as u64 + 1));
    let all: usize = MIX.iter().map(|(weight, _)| weight).sum();
    while Instant::now() < end {
        let mut drawn = dice.roll(all);
        let Some((_, template)) = MIX.iter().find(|(weight, _)| {
            let found = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            found
        }) else {
            continue;
        };
        let number = dice.roll(names.len());
        let line = template
            .replace("OTHER", &names[dice.roll(names.len())])
            .replace("NAME", &names[number])
            .replace("NET", &format!("net{}", number % 4))
            .replace("FILE", &ground.dir.join(format!("file{worker}")).display().to_string())
            .replace("TAG", &format!("other:{number}"))
            .replace("VOLUME", &format!("data{}", number % 4));
        let args: Vec<&str> = line.split(' ').collect();
        match ground.berth(&worker.to_string(), &args) {
            Ok(ended) => {
                let entry = count.commands.entry(template).or_default();
                entry.0 += 1;
                entry.1 += usize::from(!ended.status.is_some_and(|status| status.success()));
                count.violations.extend(violation(&line, &ended));
            }
            Err(problem) => count.violations.push(problem),
        }
    }
    count
}

/// What no command may do, whatever else is going on.
fn violation(line: &str, ended: &Ended) -> Option<String> {
    let what = match ended.status {
        None => "does not end",
        Some(status) if status.code().is_none() => "is killed",
        Some(_) if ended.stderr.contains("panicked at") => "panics",
        // The payload's own end says nothing.
        Some(status) if !status.success() && ended.stderr.trim().is_empty() && !line.starts_with("exec") => {
            "fails without a word"
        }
        Some(_) => return None,
    };
    Some(format!("`berth {line}` {what}: {}", ended.stderr.trim()))
}

/// What the watcher saw.
#[derive(Default)]
struct Watched {
    looks: usize,
    violations: Vec<String>,
    /// KiB of a monitor, in the mean, each time it was looked at.
    monitors: Vec<u64>,
}

impl Watched {
    /// In the first and in the last third.
    fn memory(&self) -> String {
        let third = (self.monitors.len() / 3).max(1);
        let mean = |part: &[u64]| part.iter().sum::<u64>() / (part.len() as u64).max(1);
        let (first, last) = (
            self.monitors.chunks(third).next().unwrap_or_default(),
            self.monitors.rchunks(third).next().unwrap_or_default(),
        );
        format!("{} KiB in the first third, {} KiB in the last", mean(first), mean(last))
    }
}

/// Compares what is said of each container with what runs, again and again.
fn watch(ground: &Ground, names: &[String], end: Instant) -> Watched {
    let mut watched = Watched::default();
    while Instant::now() < end {
        for name in names {
            watched.violations.extend(soon_true(|| is_true(ground, name)).err());
            watched.looks += 1;
        }
        watched.monitors.extend(memory_of_monitors(&ground.root));
    }
    watched
}

fn is_true(ground: &Ground, name: &str) -> Result<Truth, String> {
    let told = ground.berth("watcher", &["container", "inspect", name])?;
    match told.status {
        Some(status) if status.success() => truth::of_inspected(&told.stdout),
        _ if told.stderr.to_lowercase().contains("no such") => Ok(Truth::True),
        _ => Err(format!("`inspect {name}`: {}", told.stderr.trim())),
    }
}

/// KiB that a monitor has for itself, and its part of what it shares; the mean of all.
fn memory_of_monitors(root: &Path) -> Option<u64> {
    let entries = std::fs::read_dir(root.join("run/containers")).ok()?.flatten();
    let monitors: Vec<u64> = entries
        .filter_map(|entry| {
            let pid = std::fs::read_to_string(entry.path().join("monitor.lock")).ok()?;
            let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", pid.trim())).ok()?;
            let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
            line.split_whitespace().nth(1)?.parse().ok()
        })
        .collect();
    monitors.iter().sum::<u64>().checked_div(monitors.len() as u64)
}

/// Files and bytes below a directory.
#[derive(Default)]
struct Disk {
    files: usize,
    bytes: u64,
}

impl Disk {
    fn of(root: &Path) -> Self {
        let mut disk = Self::default();
        for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            let below = if metadata.is_dir() { Self::of(&entry.path()) } else { Self::default() };
            disk.files += 1 + below.files;
            disk.bytes += below.bytes + if metadata.is_file() { metadata.len() } else { 0 };
        }
        disk
    }
}

impl std::fmt::Display for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} files of {} KiB", self.files, self.bytes / 1024)
    }
}

/// A pseudo-random sequence (splitmix64), the same for the same worker.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % sides.max(1) as u64) as usize
    }
}
