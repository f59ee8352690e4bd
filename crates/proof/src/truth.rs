//! What berth says of processes, compared with them.

use std::time::{Duration, Instant};

use serde_json::Value;

/// How long what is written may lag behind what happened: a process that was killed takes a while to be gone, and a monitor
/// writes an end down when it has seen it.
const SOON: Duration = Duration::from_secs(5);

/// Asks again until the answer is true, or has been false for too long.
pub fn soon_true(mut ask: impl FnMut() -> Result<Truth, String>) -> Result<(), String> {
    let deadline = Instant::now() + SOON;
    loop {
        match ask()? {
            Truth::True => return Ok(()),
            Truth::False(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Truth::False(why) => return Err(why),
        }
    }
}

/// What is said of a container's process, compared with the process.
pub enum Truth {
    True,
    /// With what is said and what is.
    False(String),
}

impl Truth {
    /// Whether process `pid`, 0 for none, runs just where it should.
    pub fn of(pid: u64, should_run: bool, said: &str) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let runs = stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']));
        if runs == should_run {
            return Self::True;
        }
        Self::False(format!("{said}, but process {pid} {}", if runs { "runs" } else { "is gone" }))
    }
}

/// What `inspect` of a container says of its process.
pub fn of_inspected(text: &str) -> Result<Truth, String> {
    let told: Value =
        serde_json::from_str(text).map_err(|error| format!("`inspect` prints no JSON: {error}"))?;
    let state = &told[0]["State"];
    let running = state["Running"].as_bool().ok_or_else(|| format!("`inspect` has no state: {told}"))?;
    Ok(Truth::of(state["Pid"].as_u64().unwrap_or_default(), running, &format!("`inspect` says {state}")))
}
