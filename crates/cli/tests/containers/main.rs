//! Containers, as people and scripts use them: `berth run` and its like, driven from outside.

mod commands;
mod exec;
mod lifecycle;
mod logs;
mod many;
mod run;
mod terminal;
mod volumes;

use std::path::PathBuf;

use testkit::{Invocation, Running, Testbed, berth_binary};

/// The image that [`Berth::new`] makes.
const IMAGE: &str = "busybox";

/// `berth` with a state directory of its own. Dropping it removes its containers, and fails for what they left.
struct Berth<'bed> {
    bed: &'bed Testbed,
    root: PathBuf,
}

impl<'bed> Berth<'bed> {
    /// With an image of busybox.
    fn new(bed: &'bed Testbed) -> Self {
        let berth = Berth { bed, root: bed.path().join("root") };
        let archive = bed.path().join("busybox.tar");
        let archive = archive.to_str().expect("a path of the bed is text");
        let rootfs = bed.bundle().rootfs();
        let packed = Invocation::new(bed, "tar").args(["-cf", archive, "-C"]).arg(&rootfs).arg(".");
        packed.output().expect_success();
        let changes = ["CMD [\"sh\"]", "ENV PATH=/bin", "LABEL made=here"];
        let changes = changes.iter().flat_map(|change| ["-c", change]);
        let import: Vec<&str> = ["import"].into_iter().chain(changes).chain([archive, IMAGE]).collect();
        berth.run(&import);
        berth
    }

    fn command(&self, args: &[&str]) -> Invocation {
        Invocation::new(self.bed, berth_binary())
            .arg("--root")
            .arg(&self.root)
            .args(args)
            .env("HOME", self.bed.path())
            .env("DOCKER_CONFIG", self.bed.path().join("docker"))
    }

    /// Runs a command that has to succeed and returns what it prints.
    #[track_caller]
    fn run(&self, args: &[&str]) -> String {
        self.command(args).output().expect_success().stdout()
    }

    /// Runs a command that has to end with `code`, and returns what it complains of.
    #[track_caller]
    fn fails(&self, code: i32, args: &[&str]) -> String {
        self.command(args).output().expect_code(code).stderr()
    }

    /// `run --network none` of a script, with further flags.
    fn script(&self, flags: &[&str], script: &str) -> Invocation {
        let words = [&["run", "--network", "none"], flags, &[IMAGE, "sh", "-ec", script]].concat();
        self.command(&words)
    }

    /// Starts a script in the background under a name.
    #[track_caller]
    fn detached(&self, name: &str, script: &str) -> String {
        self.script(&["-d", "--name", name], script).output().expect_success().stdout().trim().to_owned()
    }

    /// A field of a container.
    #[track_caller]
    fn field(&self, name: &str, template: &str) -> String {
        self.run(&["inspect", "--type", "container", "-f", template, name]).trim().to_owned()
    }

    /// The ids of all containers that ever were here, from the log of events.
    fn ids(&self) -> Vec<String> {
        let query = ["events", "--since", "0", "--until", "0s", "-f", "type=container", "-f", "event=create"];
        self.run(&[&query[..], &["--format", "{{.ID}}"]].concat()).lines().map(str::to_owned).collect()
    }

    /// What a container has of its own: directories, and a cgroup in each hierarchy.
    fn places(&self, id: &str) -> Vec<PathBuf> {
        let own = ["run/containers", "containers", "snapshots"].map(|place| self.root.join(place).join(id));
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").expect("list the hierarchies").flatten();
        let groups = hierarchies.map(|entry| entry.path().join("berth").join(id));
        own.into_iter().chain(groups).collect()
    }
}

impl Drop for Berth<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let all = self.command(&["ps", "-aq"]).output().stdout();
            let names: Vec<&str> = ["rm", "-f", "-v"].into_iter().chain(all.lines()).collect();
            drop(self.command(&names).output());
            return;
        }
        let all = self.run(&["ps", "-aq"]);
        if !all.is_empty() {
            self.run(&["rm", "-f", "-v"].into_iter().chain(all.lines()).collect::<Vec<_>>());
        }
        for id in self.ids() {
            // Who ran it in the foreground was told of its end before its directories went.
            for path in self.places(&id) {
                testkit::eventually(&format!("{} is gone", path.display()), || {
                    (!path.exists()).then_some(())
                });
            }
        }
    }
}

/// Waits until a command has printed `text` to stdout.
#[track_caller]
fn await_output(running: &Running, text: &str) {
    testkit::eventually(text, || running.stdout().contains(text).then_some(()));
}
