//! Escapes that other container runtimes had, tried on this one. Each test carries the number of the hole that it
//! looks for, and was seen to fail when the line of defence that its comment names was taken away. What the attacks
//! were, and what stops them, is told in docs/security.md.

mod binary;
mod capabilities;
mod cgroups;
mod console;
mod descriptors;
mod exec;
mod links;
mod masks;
mod proc;
mod race;
mod races;

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Bundle, Finished, Testbed};

/// Runs the bundle to its end.
fn run(bed: &Testbed, bundle: &Bundle) -> Finished {
    bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output()
}

/// A directory of the host's, which no container may touch.
fn outside(bed: &Testbed) -> PathBuf {
    let path = bed.path().join("outside");
    fs::create_dir(&path).unwrap();
    path
}

/// The entries of a directory.
fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Fails the test where something was made in a directory that no container may touch.
#[track_caller]
fn assert_empty(dir: &Path) {
    let entries = entries(dir);
    assert!(entries.is_empty(), "made on the host: {entries:?}");
}

/// Removes the mounts with this destination from a spec.
fn without_mount(spec: &mut serde_json::Value, destination: &str) {
    spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != destination);
}

/// Adds a mount to a spec.
fn add_mount(spec: &mut serde_json::Value, mount: serde_json::Value) {
    spec["mounts"].as_array_mut().unwrap().push(mount);
}
