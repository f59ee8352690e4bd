//! OCI bundles that live as long as their test.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::rootfs;

/// A directory with `rootfs/` and `config.json`.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    spec: Value,
}

impl Bundle {
    pub(crate) fn create(path: PathBuf) -> Self {
        rootfs::create(&path.join("rootfs"));
        let bundle = Self { path, spec: default_spec() };
        bundle.write();
        bundle
    }

    /// Changes the spec, and writes it.
    ///
    /// # Panics
    /// When config.json can't be written.
    pub fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.spec);
        self.write();
    }

    /// What the container runs: a script for busybox's shell.
    pub fn script(&mut self, script: &str) {
        self.edit(|spec| spec["process"]["args"] = serde_json::json!(["sh", "-ec", script]));
    }

    /// The spec as it was last written.
    #[must_use]
    pub fn spec(&self) -> &Value {
        &self.spec
    }

    /// The bundle's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bundle's directory, as an argument of a command.
    ///
    /// # Panics
    /// When the temporary directory's name is not UTF-8.
    #[must_use]
    pub fn arg(&self) -> &str {
        self.path.to_str().expect("the temporary directory has a UTF-8 name")
    }

    /// The container's root file system.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.path.join("rootfs")
    }

    fn write(&self) {
        let config = self.path.join("config.json");
        let text = serde_json::to_vec_pretty(&self.spec).expect("JSON of a JSON value");
        fs::write(&config, text).unwrap_or_else(|error| panic!("write {}: {error}", config.display()));
    }
}

/// What `runc spec` prints, but for: no terminal, a writable root, and `true` as the process.
///
/// # Panics
/// Never: the text is part of this crate, and tested.
#[must_use]
pub fn default_spec() -> Value {
    serde_json::from_str(include_str!("default_spec.json")).expect("default_spec.json is JSON")
}
