//! The ground that a test stands on, checked for leaks when the test leaves it.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::{Bundle, Leak, Runtime, leaks};

/// How long what a test started may take to be gone after the test's end: a killed container's cgroup,
/// say, can be removed only when the kernel has reaped its processes.
const GRACE: Duration = Duration::from_secs(3);

/// A directory and a name that are this test's own.
///
/// Dropping it fails the test when anything that carries the name is left on the machine. What leaked is
/// removed all the same, so that one bad test spoils no other.
#[derive(Debug)]
pub struct Testbed {
    name: String,
    dir: PathBuf,
    made: Cell<u32>,
}

impl Testbed {
    /// A fresh bed under the temporary directory.
    ///
    /// # Panics
    /// When the directory can't be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a bed is a resource, not a value")]
    pub fn new() -> Self {
        let name = unique_name();
        let dir = std::env::temp_dir().join(&name);
        fs::create_dir(&dir).unwrap_or_else(|error| panic!("create {}: {error}", dir.display()));
        fs::create_dir(dir.join("state")).expect("create the state directory");
        Self { name, dir, made: Cell::new(0) }
    }

    /// Nine letters and digits, unique on this machine: short enough for a link's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bed's directory, for scratch files.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// A container id that no other test has.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}", self.name, self.next())
    }

    /// A new bundle: busybox, and the default spec.
    #[must_use]
    pub fn bundle(&self) -> Bundle {
        Bundle::create(self.dir.join(format!("bundle{}", self.next())))
    }

    /// `berth oci` with a state directory in this bed.
    #[must_use]
    pub fn runtime(&self) -> Runtime<'_> {
        Runtime::berth(self)
    }

    /// The runtime's `--root`: must be empty when the bed is dropped.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// A path in the bed for a new file.
    pub(crate) fn new_file(&self, stem: &str) -> PathBuf {
        self.dir.join(format!("{stem}{}", self.next()))
    }

    fn next(&self) -> u32 {
        self.made.set(self.made.get() + 1);
        self.made.get()
    }

    /// Takes back what is left of this test now, so that it can go on.
    pub fn sweep(&self) {
        leaks::remove(&leaks::find(&self.name, &self.dir, &self.state_dir()));
    }

    /// What is left of this test now, after waiting for what is on its way out.
    #[must_use]
    pub fn leaks(&self) -> Vec<Leak> {
        let deadline = Instant::now() + GRACE;
        loop {
            let leaks = leaks::find(&self.name, &self.dir, &self.state_dir());
            if leaks.is_empty() || Instant::now() > deadline {
                return leaks;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        let leaks = self.leaks();
        leaks::remove(&leaks);
        let mut complaints: Vec<String> = leaks.iter().map(ToString::to_string).collect();
        complaints.extend(remove_dir(&self.name, &self.dir).err());
        if complaints.is_empty() {
            return;
        }
        let message = format!("this test leaked:\n  {}", complaints.join("\n  "));
        if std::thread::panicking() {
            eprintln!("{message}");
        } else {
            panic!("{message}");
        }
    }
}

/// Removes the bed's directory, but never through a mount, behind which lie somebody else's files.
fn remove_dir(name: &str, dir: &Path) -> Result<(), String> {
    let mounts = leaks::mounts(name);
    if !mounts.is_empty() {
        return Err(format!("{}: kept, for mounts are left in it", dir.display()));
    }
    fs::remove_dir_all(dir).map_err(|error| format!("remove {}: {error}", dir.display()))
}

fn unique_name() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = [0; 7];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).expect("getrandom");
    let letters = random.map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    format!("bt{}", String::from_iter(letters))
}
