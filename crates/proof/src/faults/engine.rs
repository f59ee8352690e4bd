//! Sequences of the engine's commands, with a monitor beside each container.

use sys::process::NamespaceFlags;

use super::follow::Follower;
use super::recovery::{Recovery, berth};
use super::sequence::{Ground, Hit, Sequence, Step};

/// Run, exec, logs, pause, stop, start, remove; volumes.
pub struct Engine(Recovery);

/// A container with a published port on the bridge, and one more network.
pub struct Network(Recovery);

impl Default for Engine {
    fn default() -> Self {
        Self(Recovery::without_network())
    }
}

impl Default for Network {
    fn default() -> Self {
        Self(Recovery::with_networks())
    }
}

impl Sequence for Engine {
    fn name(&self) -> &'static str {
        "engine"
    }

    fn prepare(&self, ground: &Ground, follower: &mut Follower) -> Result<(), String> {
        self.0.begin(ground, follower, &self.steps(ground))
    }

    fn steps(&self, ground: &Ground) -> Vec<Step> {
        let name = &name(ground);
        let run = ["run", "-d", "--network", "none", "-v", "data:/data", "--name", name];
        steps(
            ground,
            &[
                &["volume", "create", "data"],
                &[&run[..], &["app:1", "sleep", "1000"]].concat(),
                &["exec", name, "true"],
                &["ps", "-a"],
                &["logs", name],
                &["pause", name],
                &["unpause", name],
                &["stop", "-t", "0", name],
                &["start", name],
                &["inspect", name],
                &["rm", "-f", name],
                &["run", "--rm", "--network", "none", "app:1", "true"],
                &["volume", "rm", "data"],
            ],
        )
    }

    fn recover(&self, ground: &Ground, follower: &mut Follower, _: Option<&Hit>) -> Result<(), String> {
        self.0.finish(ground, follower)
    }
}

impl Sequence for Network {
    fn name(&self) -> &'static str {
        "network"
    }

    /// In a network namespace that ends with the worker.
    fn prepare(&self, ground: &Ground, follower: &mut Follower) -> Result<(), String> {
        sys::process::unshare(NamespaceFlags::NET)
            .and_then(|()| sys::net::loopback_up())
            .map_err(|error| format!("make a network namespace: {error}"))?;
        self.0.begin(ground, follower, &self.steps(ground))
    }

    fn steps(&self, ground: &Ground) -> Vec<Step> {
        let name = &name(ground);
        steps(
            ground,
            &[
                &["network", "create", "back"],
                &["run", "-d", "-p", "18080:80", "--name", name, "app:1", "sleep", "1000"],
                &["network", "connect", "back", name],
                &["network", "inspect", "back"],
                &["port", name],
                &["network", "disconnect", "back", name],
                &["stop", "-t", "0", name],
                &["network", "connect", "back", name],
                &["start", name],
                &["rm", "-f", name],
                &["run", "--rm", "--network", "back", "app:1", "true"],
                &["network", "rm", "back"],
            ],
        )
    }

    fn recover(&self, ground: &Ground, follower: &mut Follower, _: Option<&Hit>) -> Result<(), String> {
        self.0.finish(ground, follower)
    }
}

fn steps(ground: &Ground, commands: &[&[&str]]) -> Vec<Step> {
    commands.iter().map(|args| Step { command: berth(ground, args), repeatable: false }).collect()
}

fn name(ground: &Ground) -> String {
    format!("{}-c", ground.bed.name())
}
