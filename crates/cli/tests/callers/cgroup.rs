//! The cgroup that a caller makes its containers' cgroups in.

use std::fs;
use std::path::PathBuf;

use testkit::{Testbed, eventually};

/// A parent with the test's name in every hierarchy; removed when dropped.
pub struct Parent {
    name: String,
}

impl Parent {
    /// The parent of `bed`. It does not exist yet: callers create it.
    pub fn new(bed: &Testbed) -> Self {
        Self { name: bed.name().to_owned() }
    }

    /// Its path in each hierarchy.
    pub fn path(&self) -> String {
        format!("/{}", self.name)
    }

    fn dirs(&self) -> Vec<PathBuf> {
        let hierarchies = fs::read_dir("/sys/fs/cgroup").expect("list the cgroup hierarchies");
        let paths =
            hierarchies.map(|entry| entry.expect("list the cgroup hierarchies").path().join(&self.name));
        paths.filter(|path| path.is_dir()).collect()
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for dir in self.dirs() {
            eventually(&format!("{} is empty", dir.display()), || remove(&dir).then_some(()));
            // podman makes directories for hierarchies that are not mounted, beside those that are.
            drop(fs::remove_dir(dir.parent().expect("a hierarchy")));
        }
    }
}

/// Whether the cgroup is gone, and those of monitors in it.
fn remove(dir: &PathBuf) -> bool {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let removed = if path.is_dir() { remove(&path) } else { fs::remove_file(&path).is_ok() };
        // The files of a cgroup can't be removed, and need not be.
        if path.is_dir() && !removed {
            return false;
        }
    }
    fs::remove_dir(dir).is_ok()
}
