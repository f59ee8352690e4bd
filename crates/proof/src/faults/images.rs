//! A sequence of the commands for images.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process;
use std::sync::OnceLock;

use super::follow::Follower;
use super::sequence::{Ground, Hit, Sequence, Step, files, must, run};

/// Import, tag, save, load, mount, remove, collect, pull.
#[derive(Default)]
pub struct Images {
    /// What a root holds when everything was removed.
    empty: OnceLock<BTreeSet<PathBuf>>,
}

impl Sequence for Images {
    fn name(&self) -> &'static str {
        "images"
    }

    fn prepare(&self, ground: &Ground, follower: &mut Follower) -> Result<(), String> {
        let files = ground.bed.path().join("files");
        let make = || -> std::io::Result<()> {
            std::fs::create_dir_all(files.join("etc"))?;
            std::fs::create_dir_all(ground.bed.path().join("home"))?;
            std::fs::create_dir_all(ground.bed.path().join("out"))?;
            std::fs::write(files.join("etc/hostname"), "app\n")?;
            std::fs::write(files.join("data"), vec![b'x'; 300_000])?;
            std::os::unix::fs::symlink("data", files.join("link"))
        };
        make().map_err(|error| format!("make files for an image: {error}"))?;
        let status = process::Command::new("tar")
            .arg("-cf")
            .arg(ground.bed.path().join("app.tar"))
            .arg("-C")
            .arg(&files)
            .arg(".")
            .status();
        if !status.is_ok_and(|status| status.success()) {
            return Err("tar: makes no archive".to_owned());
        }
        let name = pulled(ground);
        must(follower, &berth(ground, &["import", &ground.path("app.tar"), &name]))?;
        must(follower, &berth(ground, &["push", "-q", &name]))?;
        self.sweep(ground, follower)?;
        self.empty.set(files_of(ground)).map_err(|_| "prepared twice".to_owned())
    }

    fn steps(&self, ground: &Ground) -> Vec<Step> {
        let (archive, out, pulled) = (ground.path("app.tar"), ground.path("out/app.tar"), pulled(ground));
        let step = |repeatable: bool, args: &[&str]| Step { command: berth(ground, args), repeatable };
        vec![
            step(true, &["import", &archive, "app:1"]),
            step(true, &["tag", "app:1", "app:2"]),
            step(true, &["save", "-o", &out, "app:2"]),
            step(false, &["rmi", "app:1"]),
            step(false, &["rmi", "app:2"]),
            step(true, &["load", "-q", "-i", &out]),
            step(false, &["image", "mount", "app:2"]),
            step(false, &["image", "unmount", "app:2"]),
            step(false, &["rmi", "-f", "app:2"]),
            step(true, &["gc"]),
            step(true, &["pull", "-q", &pulled]),
            step(true, &["images"]),
            step(true, &["image", "prune", "-a", "-f"]),
        ]
    }

    fn recover(&self, ground: &Ground, follower: &mut Follower, hit: Option<&Hit>) -> Result<(), String> {
        is_clean(ground, follower)?;
        if let Some(hit) = hit {
            if hit.step.repeatable {
                must(follower, &hit.step.command)?;
            } else {
                run(follower, &hit.step.command)?;
            }
            is_clean(ground, follower)?;
        }
        must(follower, &berth(ground, &["images"]))?;
        self.sweep(ground, follower)?;
        let (left, empty) = (files_of(ground), self.empty.get());
        let more: Vec<String> = left
            .iter()
            .filter(|path| empty.is_some_and(|empty| !empty.contains(*path)))
            .map(|path| path.display().to_string())
            .collect();
        if !more.is_empty() {
            return Err(format!("files are left: {}", more.join(", ")));
        }
        let leaks: Vec<String> = ground.bed.leaks().iter().map(ToString::to_string).collect();
        if leaks.is_empty() { Ok(()) } else { Err(format!("left behind: {}", leaks.join(", "))) }
    }
}

impl Images {
    /// Removes everything, as a user would, and forgets what was saved.
    fn sweep(&self, ground: &Ground, follower: &mut Follower) -> Result<(), String> {
        let mounted = must(follower, &berth(ground, &["image", "mount"]))?;
        for line in mounted.lines() {
            let name = line.split(' ').next().unwrap_or_default();
            must(follower, &berth(ground, &["image", "unmount", name]))?;
        }
        must(follower, &berth(ground, &["image", "prune", "-a", "-f"]))?;
        must(follower, &berth(ground, &["gc"]))?;
        is_clean(ground, follower)?;
        let saved = ground.bed.path().join("out/app.tar");
        if saved.exists() { std::fs::remove_file(saved).map_err(|error| error.to_string()) } else { Ok(()) }
    }
}

fn berth(ground: &Ground, args: &[&str]) -> super::follow::Command {
    let root = ground.path("images");
    ground.berth(["--root", &root].into_iter().chain(args.iter().copied()))
}

fn pulled(ground: &Ground) -> String {
    format!("{}/{}:1", ground.registry, ground.bed.name())
}

fn is_clean(ground: &Ground, follower: &mut Follower) -> Result<(), String> {
    let checked = must(follower, &berth(ground, &["fsck"]))?;
    if checked == "clean\n" { Ok(()) } else { Err(format!("`fsck` afterwards: {}", checked.trim())) }
}

fn files_of(ground: &Ground) -> BTreeSet<PathBuf> {
    let mut found = files(&ground.bed.path().join("images"));
    found.extend(files(&ground.bed.path().join("out")));
    found
}
