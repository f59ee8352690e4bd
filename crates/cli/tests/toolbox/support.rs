//! Running programs and reading what they say.

use std::ffi::OsStr;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs berth.
pub fn berth<Word: AsRef<OsStr>>(arguments: &[Word]) -> Output {
    run(env!("CARGO_BIN_EXE_berth"), arguments)
}

/// Runs a program of the host.
pub fn run<Word: AsRef<OsStr>>(program: &str, arguments: &[Word]) -> Output {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("run {program}: {error}"))
}

/// What a program that must succeed prints, without the last line break.
pub fn stdout(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
}

/// The message of a program that must fail with status 1.
pub fn failure(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).expect("UTF-8").trim_end().to_owned()
}

/// The JSON that a program that must succeed prints.
pub fn json(output: Output) -> serde_json::Value {
    serde_json::from_str(&stdout(output)).expect("JSON")
}

/// A child that is killed when it is dropped.
pub struct Sleeper(pub Child);

impl Sleeper {
    /// Runs `program`, which must end in `sleep`, and waits until that runs.
    pub fn new(program: &str, arguments: &[&str]) -> Self {
        let child = Command::new(program)
            .args(arguments)
            .args(["sleep", "300"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("run {program}: {error}"));
        let sleeper = Self(child);
        until(|| std::fs::read(format!("/proc/{}/comm", sleeper.pid())).unwrap() == b"sleep\n");
        sleeper
    }

    pub fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for a condition; panics when it takes too long.
pub fn until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it takes too long");
        std::thread::yield_now();
    }
}

/// A directory of its own, removed when it is dropped.
pub struct Scratch(String);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("toolbox-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path.into_os_string().into_string().unwrap())
    }

    pub fn path(&self) -> &str {
        &self.0
    }

    /// Makes an empty file.
    pub fn file(&self, name: &str) -> String {
        let path = format!("{}/{name}", self.0);
        std::fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
