//! `cargo xtask soak`: any commands, many at once, for minutes; then everything is removed, and nothing may be left.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use testkit::Testbed;

/// How long one command may take among so many.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the command line says.
struct Options {
    berth: PathBuf,
    minutes: f64,
    parallel: usize,
}

/// The commands, with `NAME` for one of the containers, `TAG` for an image's other name, `VOLUME` for a volume; and how often
/// each is drawn.
const MIX: &[(usize, &str)] = &[
    (8, "run -d --network none --name NAME -v VOLUME:/data app:1 sleep 1000"),
    (4, "run --rm --network none app:1 true"),
    (4, "exec NAME true"),
    (2, "logs NAME"),
    (2, "pause NAME"),
    (3, "unpause NAME"),
    (2, "stop -t 0 NAME"),
    (2, "start NAME"),
    (1, "kill NAME"),
    (6, "rm -f NAME"),
    (2, "inspect NAME"),
    (3, "ps -a"),
    (1, "images"),
    (2, "tag app:1 TAG"),
    (1, "rmi TAG"),
    (1, "volume rm VOLUME"),
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
    let bed = Testbed::new();
    let ground =
        Ground { root: bed.path().join("root"), berth: options.berth.clone(), dir: bed.path().to_owned() };
    ground.import(&bed)?;
    let before = disk(&ground.root);
    let end = Instant::now() + Duration::from_secs_f64(options.minutes * 60.0);
    let names: Vec<String> =
        (0..options.parallel * 2).map(|number| format!("{}-{number}", bed.name())).collect();
    let counts: Vec<Count> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.parallel)
            .map(|worker| {
                scope.spawn({
                    let (ground, names) = (&ground, &names);
                    move || work(ground, names, worker, end)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_default()).collect()
    });
    let mut violations: Vec<String> = counts.iter().flat_map(|count| count.violations.clone()).collect();
    let mut commands: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (command, (run, refused)) in counts.iter().flat_map(|count| &count.commands) {
        let sum = commands.entry(command).or_default();
        *sum = (sum.0 + run, sum.1 + refused);
    }
    violations.extend(ground.sweep().err());
    violations.extend(bed.leaks().iter().map(|leak| format!("left behind: {leak}")));
    for (command, (run, refused)) in &commands {
        println!("{run:7} {refused:7} refused  {command}");
    }
    let total: usize = commands.values().map(|(run, _)| run).sum();
    println!(
        "{total} commands, {} at once, {} violations; disk {before} files before, {} after",
        options.parallel,
        violations.len(),
        disk(&ground.root)
    );
    if violations.is_empty() { Ok(()) } else { Err(violations.join("\n")) }
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options { berth: PathBuf::new(), minutes: 5.0, parallel: 16 };
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let wrong = |_| format!("{flag} {value}: no number");
        match flag.as_str() {
            "--berth" => options.berth = value.into(),
            "--minutes" => {
                options.minutes = value.parse().map_err(|_| format!("{flag} {value}: no number"))?;
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

    /// Removes everything, as a user would.
    fn sweep(&self) -> Result<(), String> {
        for id in self.must(&["ps", "-a", "-q", "--no-trunc"])?.lines() {
            self.must(&["rm", "-f", "-v", id])?;
        }
        self.must(&["volume", "prune", "-a", "-f"])?;
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
            .replace("NAME", &names[number])
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

/// How many files there are below a directory.
fn disk(root: &Path) -> usize {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            1 + if entry.file_type().is_ok_and(|kind| kind.is_dir()) { disk(&entry.path()) } else { 0 }
        })
        .sum()
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
