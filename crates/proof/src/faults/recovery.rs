//! What has to hold after a fault in a command of the engine's.

use std::collections::BTreeSet;
use std::path::Path;
use std::process;
use std::sync::OnceLock;

use super::follow::{Command, Follower, PATIENCE, children};
use super::sequence::{Ground, Step, files, must, run};
use crate::truth::{self, Truth, soon_true};

/// What the containers say that are run afterwards.
const SAID: &str = "here I am\n";

const HELLO: &[&str] = &["--network", "none", "app:1", "echo", "here I am"];

/// Says it only where it reaches its gateway.
const HELLO_FROM_BRIDGE: &[&str] = &[
    "app:1",
    "sh",
    "-c",
    "gateway=$(ip route | sed -n 's/^default via \\([^ ]*\\) .*/\\1/p'); \
     ping -c 1 -W 5 \"$gateway\" >/dev/null && echo here I am",
];

/// Removes everything after a fault as a user would, runs a container, and compares what is left with what was there at
/// first.
#[derive(Debug)]
pub struct Recovery {
    /// Arguments of `run`, for a container that says [`SAID`] where all is well.
    hello: &'static [&'static str],
    /// Whether networks were made, in a network namespace of our own.
    networks: bool,
    empty: OnceLock<BTreeSet<String>>,
}

impl Recovery {
    /// For containers without a network.
    pub const fn without_network() -> Self {
        Self { hello: HELLO, networks: false, empty: OnceLock::new() }
    }

    /// For containers on a bridge.
    pub const fn with_networks() -> Self {
        Self { hello: HELLO_FROM_BRIDGE, networks: true, empty: OnceLock::new() }
    }

    /// Imports `app:1`, runs all commands once, and remembers what there is when nothing else is: directories and a bridge
    /// that come with the first use, say.
    pub fn begin(&self, ground: &Ground, follower: &mut Follower, steps: &[Step]) -> Result<(), String> {
        let (bundle, archive) = (ground.bed.bundle(), ground.path("rootfs.tar"));
        let mut pack = process::Command::new("tar");
        let packed = pack.arg("-cf").arg(&archive).arg("-C").arg(bundle.rootfs()).arg(".").status();
        if !packed.is_ok_and(|status| status.success()) {
            return Err("tar: makes no archive".to_owned());
        }
        must(follower, &berth(ground, &["import", &archive, "app:1"]))?;
        for step in steps {
            must(follower, &step.command)?;
        }
        self.says_hello(ground, follower)?;
        self.sweep(ground, follower)?;
        settled(follower)?;
        self.empty.set(self.things(ground)?).map_err(|_| "prepared twice".to_owned())
    }

    /// After a fault: says what is not as it should be, and leaves nothing.
    pub fn finish(&self, ground: &Ground, follower: &mut Follower) -> Result<(), String> {
        for id in containers(ground, follower)? {
            soon_true(|| state_is_true(ground, follower, &id))?;
        }
        self.sweep(ground, follower)?;
        self.says_hello(ground, follower)?;
        self.sweep(ground, follower)?;
        settled(follower)?;
        // The kernel frees a network namespace, and the pairs that end in it, in its own time.
        soon_true(|| {
            let more: Vec<String> =
                self.things(ground)?.into_iter().filter(|it| !self.is_known(it)).collect();
            Ok(if more.is_empty() {
                Truth::True
            } else {
                Truth::False(format!("left behind: {}", more.join(", ")))
            })
        })?;
        let leaks: Vec<String> = ground.bed.leaks().iter().map(ToString::to_string).collect();
        if !leaks.is_empty() {
            return Err(format!("left behind: {}", leaks.join(", ")));
        }
        // Whose cgroups were looked for need not be looked for again.
        std::fs::remove_dir_all(ground.path("engine/events"))
            .map_err(|error| format!("forget events: {error}"))
    }

    fn is_known(&self, thing: &str) -> bool {
        self.empty.get().is_none_or(|empty| empty.contains(thing))
    }

    fn says_hello(&self, ground: &Ground, follower: &mut Follower) -> Result<(), String> {
        let args: Vec<&str> = ["run", "--rm"].iter().chain(self.hello).copied().collect();
        let said = must(follower, &berth(ground, &args))?;
        if said == SAID { Ok(()) } else { Err(format!("`run` afterwards prints {said:?}")) }
    }

    /// Removes every container, volume and network, as a user would.
    fn sweep(&self, ground: &Ground, follower: &mut Follower) -> Result<(), String> {
        for id in containers(ground, follower)? {
            // One of `run --rm` may just be on its way out.
            let removed = run(follower, &berth(ground, &["rm", "-f", "-v", &id]))?;
            if !removed.succeeded() && !removed.stderr.to_lowercase().contains("no such container") {
                return Err(format!("`rm -f` afterwards: {}", removed.told()));
            }
        }
        must(follower, &berth(ground, &["volume", "prune", "-a", "-f"]))?;
        if self.networks {
            must(follower, &berth(ground, &["network", "prune", "-f"]))?;
        }
        must(follower, &berth(ground, &["gc"])).map(drop)
    }

    /// Files, and what the kernel has in this network namespace.
    fn things(&self, ground: &Ground) -> Result<BTreeSet<String>, String> {
        let files = files(Path::new(&ground.path("engine"))).into_iter();
        let books = ground.path("engine/run/network");
        let files = files.filter(|path| !is_book(Path::new(&books), path));
        let mut things: BTreeSet<String> = files.map(|path| path.display().to_string()).collect();
        if self.networks {
            for (of, program, args) in NETWORK {
                things.extend(lines(of, program, args)?);
            }
        }
        Ok(things)
    }
}

/// Whether a path is one of the books of networks, which are opened when there is something to be written in them, or a
/// book's lock.
fn is_book(books: &Path, path: &Path) -> bool {
    path == books
        || path.starts_with(books) && path.ends_with("lock")
        || path.parent() == Some(books) && path.is_dir()
}

fn settled(follower: &mut Follower) -> Result<(), String> {
    let settled = follower.settle(PATIENCE / 4).map_err(|error| error.to_string())?;
    if settled { Ok(()) } else { Err(format!("processes are left: {:?}", children())) }
}

/// What the kernel has in a network namespace, and who tells of it.
const NETWORK: &[(&str, &str, &[&str])] = &[
    ("link", "ip", &["-o", "link"]),
    ("address", "ip", &["-o", "address"]),
    ("route", "ip", &["route", "show", "table", "all"]),
    ("route", "ip", &["-6", "route", "show", "table", "all"]),
    ("rule", "nft", &["--stateless", "list", "ruleset"]),
];

/// The lines that a program prints, each with what it is of; of links only their names, for their states come and go.
fn lines(of: &str, program: &str, args: &[&str]) -> Result<Vec<String>, String> {
    let failed = |why: String| format!("{program}: {why}");
    let output =
        process::Command::new(program).args(args).output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let (skip, take) = if of == "link" { (1, 1) } else { (0, usize::MAX) };
    let told = |line: &str| {
        let words = line.split_whitespace().filter(|word| *word != "linkdown").skip(skip).take(take);
        [of].into_iter().chain(words).collect::<Vec<_>>().join(" ")
    };
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(told).collect())
}

/// A command of the engine's, with a root in the bed.
pub fn berth(ground: &Ground, args: &[&str]) -> Command {
    let root = ground.path("engine");
    ground.berth(["--root", &root].into_iter().chain(args.iter().copied()))
}

fn containers(ground: &Ground, follower: &mut Follower) -> Result<Vec<String>, String> {
    let list = must(follower, &berth(ground, &["ps", "-a", "-q", "--no-trunc"]))?;
    Ok(list.lines().map(str::to_owned).collect())
}

/// Whether who `inspect` says runs does.
fn state_is_true(ground: &Ground, follower: &mut Follower, id: &str) -> Result<Truth, String> {
    let told = run(follower, &berth(ground, &["inspect", id]))?;
    // One of `run --rm` may just be on its way out.
    if told.stderr.to_lowercase().contains("no such") {
        return Ok(Truth::True);
    }
    if !told.succeeded() {
        return Err(format!("`inspect` of a container that `ps` shows: {}", told.told()));
    }
    truth::of_inspected(&told.stdout)
}
