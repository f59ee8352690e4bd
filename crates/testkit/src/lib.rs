//! What tests share: throw-away bundles, root file systems, leak checks.
//!
//! A test makes one [`Testbed`], and everything it needs from it. The bed has a unique name; the test
//! puts that name into whatever it creates outside of the bed's directory: container ids (which
//! [`Testbed::id`] makes), cgroup paths, named network namespaces, links. When the bed is dropped, all of
//! that must be gone, or the test fails with a list of what leaked. Tests may run in parallel.
//!
//! ```no_run
//! let bed = testkit::Testbed::new();
//! let mut bundle = bed.bundle();
//! bundle.edit(|spec| spec["process"]["args"] = serde_json::json!(["echo", "hello"]));
//! let id = bed.id();
//! let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &id]).output();
//! assert_eq!(run.expect_success().stdout(), "hello\n");
//! // `bed` is dropped here: no mount, cgroup, process, link or file of this test is left, or it fails.
//! ```
//!
//! Tests that drive the `berth` binary live in `crates/cli/tests`, for there cargo builds it first.
//! How a test says that it needs the VM is told in `docs/testing.md`.

mod bundle;
mod console;
mod docker_registry;
mod http_server;
mod invocation;
mod leaks;
mod rootfs;
mod runtime;
mod testbed;

pub use bundle::{Bundle, default_spec};
pub use console::{ConsoleSocket, Terminal};
pub use docker_registry::{DockerRegistry, PASSWORD, USER};
pub use http_server::{Ending, HttpRequest, HttpResponse, HttpServer};
pub use invocation::{Finished, Invocation, Running};
pub use leaks::Leak;
pub use runtime::{Runtime, berth_binary};
pub use testbed::Testbed;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a command or a condition may take before the test fails: a minute, or as many seconds as
/// `TESTKIT_PATIENCE` says, as it does where there is no KVM.
#[must_use]
pub fn patience() -> Duration {
    static PATIENCE: OnceLock<Duration> = OnceLock::new();
    *PATIENCE.get_or_init(|| {
        let seconds = std::env::var("TESTKIT_PATIENCE").ok().and_then(|text| text.parse().ok());
        Duration::from_secs(seconds.unwrap_or(60))
    })
}

/// Asks until `condition` answers, and returns its answer.
///
/// # Panics
/// When [`patience`] ends first; the message says that `what` did not happen.
#[track_caller]
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience();
    loop {
        if let Some(answer) = condition() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s", patience().as_secs());
        std::thread::sleep(Duration::from_millis(2));
    }
}
