//! A host for containers: a root of its own in a test's bed, with an image of busybox.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::{Finished, Invocation, Testbed, berth_binary, eventually};

/// The image's name.
pub const IMAGE: &str = "busybox";

/// A root with an image.
pub struct Host {
    pub bed: Testbed,
    pub root: PathBuf,
}

impl Host {
    pub fn new() -> Self {
        let bed = Testbed::new();
        let root = bed.path().join("root");
        let archive = bed.path().join("busybox.tar");
        let rootfs = bed.bundle().rootfs();
        let packed = Command::new("tar").arg("-C").arg(&rootfs).arg("-cf").arg(&archive).arg(".").status();
        assert!(packed.expect("run tar").success());
        let host = Self { bed, root };
        host.berth(["import", archive.to_str().unwrap(), IMAGE]).output().expect_success();
        host
    }

    /// A command of berth with this root.
    pub fn berth<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Invocation {
        Invocation::new(&self.bed, berth_binary()).arg("--root").arg(&self.root).args(args)
    }

    /// A command that must succeed; its output without the last newline.
    #[track_caller]
    pub fn ok<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> String {
        self.berth(args).output().expect_success().stdout().trim_end().to_owned()
    }

    /// `run --network none` with more arguments.
    pub fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Invocation {
        self.berth(["run", "--network", "none"]).args(args)
    }

    /// A detached container that sleeps.
    #[track_caller]
    pub fn sleeper(&self, name: &str) -> String {
        let run = self.run(["-d", "--name", name, IMAGE, "sleep", "1000"]).output();
        run.expect_success().stdout().trim_end().to_owned()
    }

    /// A field of `inspect`, by its path.
    #[track_caller]
    pub fn inspect(&self, name: &str, pointer: &str) -> Value {
        let text = self.ok(["container", "inspect", name]);
        let value: Value = serde_json::from_str(&text).expect("inspect prints JSON");
        value[0].pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {text}")).clone()
    }

    /// The status of a container.
    #[track_caller]
    pub fn status(&self, name: &str) -> String {
        self.inspect(name, "/State/Status").as_str().expect("a status is text").to_owned()
    }

    #[track_caller]
    pub fn await_status(&self, name: &str, status: &str) {
        eventually(&format!("{name} is {status}"), || (self.status(name) == status).then_some(()));
    }

    /// The process id of a running container's monitor.
    pub fn monitor(&self, id: &str) -> i32 {
        let path = self.root.join("run/containers").join(id).join("monitor.lock");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.trim().parse().expect("a pid")
    }

    /// The actions of all events, in order.
    pub fn actions(&self) -> Vec<String> {
        self.events().iter().filter_map(|event| Some(event["Action"].as_str()?.to_owned())).collect()
    }

    pub fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.root.join("events/events.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Removes all containers, and fails where anything of any is left.
    #[track_caller]
    pub fn leave_nothing(&self) {
        let all = self.ok(["ps", "-aq", "--no-trunc"]);
        for id in all.lines() {
            self.berth(["rm", "-f", "-v", id]).output().expect_success();
        }
        assert_eq!(self.ok(["ps", "-aq"]), "");
        // What was begun and not named is a collection's.
        self.ok(["gc"]);
        let directories = ["containers", "names", "run/containers", "run/oci", "snapshots", "stage", "trash"];
        for directory in directories {
            // A monitor may be about to remove what `ps` shows no more.
            eventually(&format!("{directory} is empty"), || {
                entries(&self.root.join(directory)).is_empty().then_some(())
            });
        }
        let leaks = self.bed.leaks();
        assert!(leaks.is_empty(), "{leaks:?}");
    }
}

/// The names in a directory; none where there is no such.
pub fn entries(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Fails unless the command failed so, with these words.
#[track_caller]
pub fn refused(finished: Finished, code: i32, words: &str) {
    let finished = finished.expect_code(code);
    assert!(finished.stderr().contains(words), "{:?} is not in {:?}", words, finished.stderr());
}
