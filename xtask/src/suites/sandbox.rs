//! A place where a foreign test can leave what it likes: processes, mounts, cgroups, frozen or not.
//!
//! The test runs under a shell that is process 1 of a new pid namespace, with a mount namespace and, in
//! every hierarchy, a cgroup of its own, which it sees as the root. When that process dies, the kernel
//! ends all others and drops the mounts; then the cgroups are removed. So nothing is searched for by name,
//! and several sandboxes don't meet.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::process::{Context, Failure, Outcome};

/// Enters the namespaces. `$@`: the sandbox's cgroup in each hierarchy, then `--`, then a script and its
/// arguments for process 1.
const ENTER: &str = r#"
    while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done
    shift
    exec unshare --cgroup --mount --propagation private --pid --fork --kill-child=KILL --mount-proc sh -c "$@"
"#;

/// Process 1: mounts the hierarchies anew, for a mount made outside shows paths above our root; then runs
/// the test on a terminal whose input never ends (`script` reads it from a FIFO that it holds open for
/// writing too). The shell stays, and reaps what the test leaves behind.
const INSIDE: &str = r#"
    output=$1; shift
    grep -E ' - cgroup2? ' /proc/self/mountinfo | while read -r _ _ _ _ at _ rest; do
        rest=${rest#*- }; type=${rest%% *}; options=${rest##* }
        options=$(echo ",$options," | sed 's/,r[ow],/,/; s/,clone_children,/,/; s/^,//; s/,$//')
        umount "$at" && mount -t "$type" ${options:+-o "$options"} "$type" "$at" || exit 1
    done || exit 1
    mkfifo "$output.in"
    script --quiet --flush --return --command "$*" "$output" <> "$output.in" > /dev/null
"#;

/// How often a test that runs is looked at.
const TICK: Duration = Duration::from_millis(50);

/// A directory, and a cgroup in every hierarchy of this host.
pub struct Sandbox {
    dir: PathBuf,
    cgroups: Vec<PathBuf>,
}

/// What became of a command.
pub struct Ended {
    /// All that it printed.
    pub output: String,
    /// False when its deadline came first.
    pub in_time: bool,
}

impl Sandbox {
    /// Makes one for the test `unit`.
    pub fn new(unit: &str) -> Outcome<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("suite-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(&name);
        fs::create_dir(&dir).context(format!("make {} for {unit}", dir.display()))?;
        let mut sandbox = Self { dir, cgroups: Vec::new() };
        for hierarchy in hierarchies()? {
            let cgroup = hierarchy.join(&name);
            fs::create_dir(&cgroup).context(format!("make the cgroup {}", cgroup.display()))?;
            sandbox.cgroups.push(cgroup);
        }
        sandbox.cgroups.iter().try_for_each(|cgroup| inherit_cpuset(cgroup))?;
        Ok(sandbox)
    }

    /// Runs `command` to its end or to the `deadline`.
    pub fn run(&self, command: &[String], deadline: Duration) -> Outcome<Ended> {
        let output = self.dir.join("output");
        // Test programs make their scratch directories under TMPDIR; some hold sockets, whose paths are short.
        let scratch = self.dir.join("t");
        fs::create_dir(&scratch).context(scratch.display())?;
        let mut shell = Command::new("sh");
        shell.args(["-c", ENTER, "sh"]).args(&self.cgroups).args(["--", INSIDE, "sh"]);
        shell.arg(&output).arg(shell_words(command)).env("TMPDIR", &scratch).stdin(Stdio::null());
        let mut child = shell.spawn().context("start a sandbox")?;
        let in_time = wait(&mut child, deadline)?;
        let output = fs::read(&output).context(output.display())?;
        Ok(Ended { output: String::from_utf8_lossy(&output).replace('\r', ""), in_time })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for cgroup in &self.cgroups {
            if let Err(failure) = remove_cgroup(cgroup) {
                eprintln!("sandbox: {failure}");
            }
        }
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("sandbox: remove {}: {error}", self.dir.display());
        }
    }
}

/// Whether the child ended by itself; afterwards it is gone, and all of its namespace with it.
fn wait(child: &mut Child, deadline: Duration) -> Outcome<bool> {
    let end = Instant::now() + deadline;
    while child.try_wait().context("wait for a sandbox")?.is_none() {
        if Instant::now() > end {
            child.kill().context("kill a sandbox")?;
            child.wait().context("wait for a sandbox")?;
            return Ok(false);
        }
        std::thread::sleep(TICK);
    }
    Ok(true)
}

/// Where this host's cgroup hierarchies are mounted.
fn hierarchies() -> Outcome<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
    let cgroup = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (at, kind) = (fields.next()?, fields.next()?);
        matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(at))
    };
    let found: Vec<PathBuf> = mounts.lines().filter_map(cgroup).collect();
    if found.is_empty() { Err(Failure::new("no cgroup hierarchy is mounted")) } else { Ok(found) }
}

/// A new v1 cpuset cgroup has no CPUs, and nothing can enter it.
fn inherit_cpuset(cgroup: &Path) -> Outcome {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let Ok(own) = fs::read_to_string(cgroup.join(file)) else { continue };
        if own.trim().is_empty() {
            let inherited = fs::read(cgroup.join("..").join(file)).context(file)?;
            fs::write(cgroup.join(file), inherited).context(file)?;
        }
    }
    Ok(())
}

/// Removes a cgroup and those below it, as soon as the processes there are gone.
fn remove_cgroup(cgroup: &Path) -> Outcome {
    for child in fs::read_dir(cgroup).context(cgroup.display())? {
        let child = child.context(cgroup.display())?;
        if child.file_type().context(cgroup.display())?.is_dir() {
            remove_cgroup(&child.path())?;
        }
    }
    // What is frozen takes no signal, not even the SIGKILL that it already has.
    for (file, thawed) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        if cgroup.join(file).exists() {
            fs::write(cgroup.join(file), thawed).context(cgroup.join(file).display())?;
        }
    }
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match fs::remove_dir(cgroup) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy && Instant::now() < end => {
                std::thread::sleep(TICK);
            }
            done => return done.context(format!("remove the cgroup {}", cgroup.display())),
        }
    }
}

/// One string that a shell splits into these words again.
fn shell_words(words: &[String]) -> String {
    let quoted = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''")));
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        let words = ["a b", "it's", "$HOME", ""].map(str::to_owned);
        let echoed =
            Command::new("sh").args(["-c", &format!("printf '%s|' {}", shell_words(&words))]).output();
        assert_eq!(echoed.expect("run a shell").stdout, b"a b|it's|$HOME||");
    }
}
