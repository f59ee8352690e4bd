//! OCI runtimes, called as their callers call them.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::{Invocation, Testbed};

/// An OCI runtime with a state directory in a test's bed.
#[derive(Debug, Clone)]
pub struct Runtime<'bed> {
    bed: &'bed Testbed,
    program: PathBuf,
    leading: Vec<String>,
}

impl<'bed> Runtime<'bed> {
    /// `berth oci`.
    pub(crate) fn berth(bed: &'bed Testbed) -> Self {
        Self { bed, program: berth_binary(), leading: vec!["oci".into()] }.global(["--root", &path_text(bed)])
    }

    /// Another runtime with runc's command line, to compare with.
    #[must_use]
    pub fn foreign(bed: &'bed Testbed, program: &str) -> Self {
        Self { bed, program: program.into(), leading: Vec::new() }.global(["--root", &path_text(bed)])
    }

    /// Adds global flags, which stand before the command.
    #[must_use]
    pub fn global<'a>(mut self, flags: impl IntoIterator<Item = &'a str>) -> Self {
        self.leading.extend(flags.into_iter().map(str::to_owned));
        self
    }

    /// A command of the runtime, as `["run", "--bundle", …]`.
    #[must_use]
    pub fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Invocation {
        Invocation::new(self.bed, &self.program).args(&self.leading).args(args)
    }
}

fn path_text(bed: &Testbed) -> String {
    bed.state_dir().to_str().expect("the temporary directory has a UTF-8 name").to_owned()
}

/// The `berth` binary under test: `$BERTH_BIN`, or the one that cargo or nextest built for this test, or
/// the one that lies in the target directory beside it.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn berth_binary() -> PathBuf {
    let named = ["BERTH_BIN", "CARGO_BIN_EXE_berth", "NEXTEST_BIN_EXE_berth"];
    if let Some(path) = named.iter().find_map(std::env::var_os) {
        return path.into();
    }
    let test = std::env::current_exe().expect("the path of this test");
    let built = test.parent().and_then(|deps| deps.parent()).map(|profile| profile.join("berth"));
    match built {
        Some(path) if path.is_file() => path,
        _ => panic!("no berth binary: build it with `cargo build -p cli`, or name one in BERTH_BIN"),
    }
}
