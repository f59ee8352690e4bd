//! A sequence of the engine's commands, with a monitor beside each container.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process;
use std::sync::OnceLock;

use serde_json::Value;

use super::follow::{Command, Follower, PATIENCE, children};
use super::sequence::{Ground, Hit, Sequence, Step, Truth, files, must, run, soon_true};

/// Run, exec, logs, stop, start, remove; volumes.
#[derive(Default)]
pub struct Engine {
    /// What a root holds besides the image when everything was removed.
    empty: OnceLock<BTreeSet<PathBuf>>,
}

impl Sequence for Engine {
    fn name(&self) -> &'static str {
        "engine"
    }

    fn prepare(&self, ground: &Ground, follower: &mut Follower) -> Result<(), String> {
        let bundle = ground.bed.bundle();
        let archive = ground.bed.path().join("rootfs.tar");
        let packed = process::Command::new("tar")
            .arg("-cf")
            .arg(&archive)
            .arg("-C")
            .arg(bundle.rootfs())
            .arg(".")
            .status();
        if !packed.is_ok_and(|status| status.success()) {
            return Err("tar: makes no archive".to_owned());
        }
        must(follower, &berth(ground, &["import", &ground.path("rootfs.tar"), "app:1"]))?;
        must(follower, &hello(ground))?;
        sweep(ground, follower)?;
        self.empty.set(files_of(ground)).map_err(|_| "prepared twice".to_owned())
    }

    fn steps(&self, ground: &Ground) -> Vec<Step> {
        let name = name(ground);
        [
            vec!["volume", "create", "data"],
            vec![
                "run",
                "-d",
                "--network",
                "none",
                "-v",
                "data:/data",
                "--name",
                &name,
                "app:1",
                "sleep",
                "1000",
            ],
            vec!["exec", &name, "true"],
            vec!["ps", "-a"],
            vec!["logs", &name],
            vec!["pause", &name],
            vec!["unpause", &name],
            vec!["stop", "-t", "0", &name],
            vec!["start", &name],
            vec!["inspect", &name],
            vec!["rm", "-f", &name],
            vec!["run", "--rm", "--network", "none", "app:1", "true"],
            vec!["volume", "rm", "data"],
        ]
        .map(|args| Step { command: berth(ground, &args), repeatable: false })
        .into()
    }

    fn recover(&self, ground: &Ground, follower: &mut Follower, _: Option<&Hit>) -> Result<(), String> {
        for id in containers(ground, follower)? {
            soon_true(|| state_is_true(ground, follower, &id))?;
        }
        sweep(ground, follower)?;
        let said = must(follower, &hello(ground))?;
        if said != "here I am\n" {
            return Err(format!("`run` afterwards prints {said:?}"));
        }
        sweep(ground, follower)?;
        if !follower.settle(PATIENCE / 4).map_err(|error| error.to_string())? {
            return Err(format!("processes are left: {:?}", children()));
        }
        let empty = self.empty.get();
        let known = |path: &PathBuf| empty.is_none_or(|empty| empty.contains(path));
        let more: Vec<String> = files_of(ground)
            .iter()
            .filter(|path| !known(path))
            .map(|path| path.display().to_string())
            .collect();
        if !more.is_empty() {
            return Err(format!("files are left: {}", more.join(", ")));
        }
        let leaks: Vec<String> = ground.bed.leaks().iter().map(ToString::to_string).collect();
        if leaks.is_empty() { Ok(()) } else { Err(format!("left behind: {}", leaks.join(", "))) }
    }
}

fn name(ground: &Ground) -> String {
    format!("{}-c", ground.bed.name())
}

fn berth(ground: &Ground, args: &[&str]) -> Command {
    let root = ground.path("engine");
    ground.berth(["--root", &root].into_iter().chain(args.iter().copied()))
}

fn hello(ground: &Ground) -> Command {
    berth(ground, &["run", "--rm", "--network", "none", "app:1", "echo", "here I am"])
}

fn containers(ground: &Ground, follower: &mut Follower) -> Result<Vec<String>, String> {
    let list = must(follower, &berth(ground, &["ps", "-a", "-q", "--no-trunc"]))?;
    Ok(list.lines().map(str::to_owned).collect())
}

/// Removes every container and volume, as a user would.
fn sweep(ground: &Ground, follower: &mut Follower) -> Result<(), String> {
    for id in containers(ground, follower)? {
        // One of `run --rm` may just be on its way out.
        let removed = run(follower, &berth(ground, &["rm", "-f", "-v", &id]))?;
        if !removed.succeeded() && !removed.stderr.to_lowercase().contains("no such container") {
            return Err(format!("`rm -f` afterwards: {}", removed.told()));
        }
    }
    must(follower, &berth(ground, &["volume", "prune", "-a", "-f"]))?;
    must(follower, &berth(ground, &["gc"])).map(drop)
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
    let told: Value =
        serde_json::from_str(&told.stdout).map_err(|error| format!("`inspect` prints no JSON: {error}"))?;
    let state = &told[0]["State"];
    let running = state["Running"].as_bool().ok_or_else(|| format!("`inspect` has no state: {told}"))?;
    Ok(Truth::of(state["Pid"].as_u64().unwrap_or_default(), running, &format!("`inspect` says {state}")))
}

fn files_of(ground: &Ground) -> BTreeSet<PathBuf> {
    files(&ground.bed.path().join("engine"))
}
