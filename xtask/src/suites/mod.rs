//! `cargo xtask suite`: a runtime held against test suites that other projects wrote.
//!
//! A suite is a checkout that you built yourself, laid out as `docs/foreign-suites.md` tells. Each of its
//! test files or groups runs in a [`sandbox`], and what it found is compared with the list of tests that
//! are [`expected`] to pass.

mod bats;
mod callers;
mod contest;
mod expected;
mod runtime_tools;
mod sandbox;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use crate::berth;
use crate::process::{Context, Failure, Outcome};
use sandbox::Sandbox;

/// How a suite is asked for on the command line.
pub const USAGE: &str = "bats|contest|runtime-tools|callers [--runtime PATH] [--checkout DIR] [--jobs N] \
                         [--filter WORD] [--results FILE] [--bless]";

/// What one test of a suite found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    Fail,
    Skip,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
        })
    }
}

/// The verdicts by the name of the test.
type Verdicts = BTreeMap<String, Verdict>;

/// A suite: units that run one by one, each of them holding many tests.
trait Suite: Sync {
    /// The name of its list of expected passes.
    fn name(&self) -> &'static str;

    /// The files or groups that it consists of.
    fn units(&self) -> Outcome<Vec<String>>;

    /// How long one unit may take.
    fn deadline(&self) -> Duration;

    /// The command that runs `unit` against `runtime`; it starts in a sandbox, with a terminal.
    fn command(&self, unit: &str, runtime: &Path) -> Vec<String>;

    /// The unit that consists of one test alone, where there can be such.
    fn alone(&self, _test: &str) -> Option<String> {
        None
    }

    /// Reads what that command printed.
    fn verdicts(&self, unit: &str, output: &str) -> Verdicts;
}

/// What was asked for.
#[derive(Debug, Default)]
struct Request {
    runtime: Option<PathBuf>,
    checkout: Option<PathBuf>,
    jobs: usize,
    filter: Option<String>,
    results: Option<PathBuf>,
    bless: bool,
}

/// Runs the suite that the first argument names.
pub fn run(args: &[String]) -> Outcome {
    let Some((name, flags)) = args.split_first() else {
        return Err(Failure::new(format!("usage: cargo xtask suite {USAGE}")));
    };
    let request = Request::parse(flags)?;
    match name.as_str() {
        "bats" => hold(&bats::Bats::at(request.checkout("BERTH_BATS")?), &request),
        "contest" => hold(&contest::Contest::at(request.checkout("BERTH_CONTEST")?), &request),
        "runtime-tools" => {
            hold(&runtime_tools::RuntimeTools::at(request.checkout("BERTH_RUNTIME_TOOLS")?), &request)
        }
        "callers" => callers::run(&request),
        _ => Err(Failure::new(format!("there is no suite {name:?}; usage: cargo xtask suite {USAGE}"))),
    }
}

impl Request {
    fn parse(flags: &[String]) -> Outcome<Self> {
        let mut request = Self { jobs: 1, ..Self::default() };
        let mut flags = flags.iter();
        while let Some(flag) = flags.next() {
            if flag == "--bless" {
                request.bless = true;
                continue;
            }
            let value = flags.next().ok_or_else(|| Failure::new(format!("{flag} needs a value")))?;
            match flag.as_str() {
                "--runtime" => request.runtime = Some(absolute(value)?),
                "--checkout" => request.checkout = Some(absolute(value)?),
                "--jobs" => request.jobs = value.parse().context(format!("--jobs {value}"))?,
                "--filter" => request.filter = Some(value.clone()),
                "--results" => request.results = Some(value.into()),
                _ => return Err(Failure::new(format!("unknown flag {flag}; usage: suite {USAGE}"))),
            }
        }
        Ok(request)
    }

    /// The checkout: named by flag or by `variable`.
    fn checkout(&self, variable: &str) -> Outcome<PathBuf> {
        match (&self.checkout, std::env::var_os(variable)) {
            (Some(dir), _) => Ok(dir.clone()),
            (None, Some(dir)) => absolute(&dir.to_string_lossy()),
            (None, None) => Err(Failure::new(format!(
                "name the suite's checkout by --checkout or in {variable}; docs/foreign-suites.md tells its layout"
            ))),
        }
    }

    /// The runtime: named by flag, or berth as it is released, behind a link that makes it an OCI runtime.
    fn runtime(&self) -> Outcome<PathBuf> {
        self.runtime.clone().map_or_else(berth_oci, Ok)
    }

    /// Whether a unit or test of this name was asked for.
    fn wants(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|word| name.contains(word))
    }
}

/// A copy beside the binary, for berth is what it is called, and some suites resolve links. Some look for the name too.
fn berth_oci() -> Outcome<PathBuf> {
    let binary = berth::build(berth::Profile::Release)?;
    let copy = binary.with_file_name("runc");
    std::fs::copy(&binary, &copy).context(copy.display())?;
    Ok(copy)
}

/// Links stay as they are: what a runtime is called may be what makes it one.
fn absolute(path: &str) -> Outcome<PathBuf> {
    let path = std::path::absolute(path).context(path)?;
    if path.exists() { Ok(path) } else { Err(Failure::new(format!("{} does not exist", path.display()))) }
}

/// Runs all units of `suite`, prints a line for each test, and compares with what is expected.
fn hold(suite: &dyn Suite, request: &Request) -> Outcome {
    let runtime = request.runtime()?;
    let mut units = suite.units()?;
    units.retain(|unit| request.wants(unit));
    let expected = expected::Passes::of(suite.name())?;
    let mut verdicts = run_units(suite, &units, request.jobs, &runtime)?;
    let alone = lost(suite, &verdicts, &expected);
    verdicts.extend(run_units(suite, &alone, request.jobs, &runtime)?);
    if let Some(path) = &request.results {
        std::fs::write(path, listing(&verdicts)).context(path.display())?;
    }
    let sum = Sum::of(&verdicts);
    let outcome = expected.compare(&verdicts, request.filter.is_none(), request.bless);
    println!("{sum}");
    outcome
}

/// Some suites lose the results of a whole unit when one of its tests crashes: the units that consist of its
/// expected passes alone.
fn lost(suite: &dyn Suite, verdicts: &Verdicts, expected: &expected::Passes) -> Vec<String> {
    let silent = |unit: &str| verdicts.contains_key(&silence(unit));
    let tests = expected.iter().filter(|test| test.split("::").next().is_some_and(silent));
    tests.filter_map(|test| suite.alone(test)).collect()
}

/// The name of the failure of a unit that says nothing.
fn silence(unit: &str) -> String {
    format!("{unit}: reports results")
}

/// Spreads the units over as many sandboxes as there are `jobs`.
fn run_units(suite: &dyn Suite, units: &[String], jobs: usize, runtime: &Path) -> Outcome<Verdicts> {
    let queue = Mutex::new(units.iter());
    let all = Mutex::new(Verdicts::new());
    std::thread::scope(|scope| {
        let worker = || -> Outcome {
            loop {
                let Some(unit) = queue.lock().expect("no worker panics").next() else { return Ok(()) };
                let found = run_unit(suite, unit, runtime)?;
                print!("{}", listing(&found));
                all.lock().expect("no worker panics").extend(found);
            }
        };
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
    })?;
    Ok(all.into_inner().expect("no worker panics"))
}

/// Runs one unit; one that says nothing has failed as a whole, and its output tells why.
fn run_unit(suite: &dyn Suite, unit: &str, runtime: &Path) -> Outcome<Verdicts> {
    let sandbox = Sandbox::new(unit)?;
    let ended = sandbox.run(&suite.command(unit, runtime), suite.deadline())?;
    let mut verdicts = suite.verdicts(unit, &ended.output);
    if !ended.in_time {
        verdicts.insert(format!("{unit}: ends in time"), Verdict::Fail);
    } else if verdicts.is_empty() {
        verdicts.insert(silence(unit), Verdict::Fail);
    }
    if verdicts.values().any(|verdict| *verdict == Verdict::Fail) {
        println!("---- {unit}\n{}----", ended.output);
    }
    Ok(verdicts)
}

fn listing(verdicts: &Verdicts) -> String {
    verdicts.iter().map(|(test, verdict)| format!("{verdict} {test}\n")).collect()
}

/// How many tests came out which way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Sum {
    fn of(verdicts: &Verdicts) -> Self {
        let mut sum = Self::default();
        for verdict in verdicts.values() {
            sum += *verdict;
        }
        sum
    }
}

impl AddAssign<Verdict> for Sum {
    fn add_assign(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Pass => &mut self.passed,
            Verdict::Fail => &mut self.failed,
            Verdict::Skip => &mut self.skipped,
        } += 1;
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}
