//! Sequences of the OCI runtime's commands.

use serde_json::{Value, json};

use super::follow::{Follower, children};
use super::sequence::{Ground, Hit, Sequence, Step, must, run};
use crate::truth::{Truth, soon_true};

/// What the program of [`Foreground`] says.
const SAID: &str = "here I am\n";

/// The life of a container, command by command.
pub struct Life;

/// `run`, of a container with a user namespace, seccomp and everything else that takes steps.
pub struct Foreground;

impl Sequence for Life {
    fn name(&self) -> &'static str {
        "oci"
    }

    fn prepare(&self, ground: &Ground, _: &mut Follower) -> Result<(), String> {
        make_bundle(ground, |spec| {
            spec["process"]["args"] = json!(["sleep", "1000"]);
            spec["linux"]["resources"] = json!({"pids": {"limit": 100}});
        })
    }

    fn steps(&self, ground: &Ground) -> Vec<Step> {
        let id = id(ground);
        let bundle = ground.path("bundle1");
        [
            vec!["create", "--bundle", &bundle, &id],
            vec!["start", &id],
            vec!["exec", &id, "true"],
            vec!["update", "--pids-limit", "50", &id],
            vec!["pause", &id],
            vec!["resume", &id],
            vec!["state", &id],
            vec!["kill", &id, "KILL"],
            vec!["delete", "--force", &id],
        ]
        .map(|args| oci(ground, &args))
        .into()
    }

    fn recover(&self, ground: &Ground, follower: &mut Follower, hit: Option<&Hit>) -> Result<(), String> {
        recover(ground, follower, hit)
    }
}

impl Sequence for Foreground {
    fn name(&self) -> &'static str {
        "oci-run"
    }

    fn prepare(&self, ground: &Ground, _: &mut Follower) -> Result<(), String> {
        make_bundle(ground, |spec| {
            spec["process"]["args"] = json!(["echo", SAID.trim_end()]);
            let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
            spec["linux"]["uidMappings"] = map.clone();
            spec["linux"]["gidMappings"] = map;
            if let Some(namespaces) = spec["linux"]["namespaces"].as_array_mut() {
                namespaces.push(json!({"type": "user"}));
            }
            spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
            spec["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["reboot", "kexec_load"], "action": "SCMP_ACT_ERRNO"}],
            });
        })
    }

    fn steps(&self, ground: &Ground) -> Vec<Step> {
        vec![oci(ground, &["run", "--bundle", &ground.path("bundle1"), &id(ground)])]
    }

    fn recover(&self, ground: &Ground, follower: &mut Follower, hit: Option<&Hit>) -> Result<(), String> {
        recover(ground, follower, hit)
    }
}

fn id(ground: &Ground) -> String {
    format!("{}-c", ground.bed.name())
}

fn oci(ground: &Ground, args: &[&str]) -> Step {
    let state = ground.bed.state_dir().display().to_string();
    let command = ground.berth(["oci", "--root", &state].into_iter().chain(args.iter().copied()));
    Step { command, repeatable: false }
}

fn make_bundle(ground: &Ground, change: impl FnOnce(&mut Value)) -> Result<(), String> {
    let mut bundle = ground.bed.bundle();
    bundle.edit(change);
    // The user namespace's root must be able to go through the bed.
    let open = |path: &std::path::Path| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
    };
    open(bundle.path()).and_then(|()| open(ground.bed.path())).map_err(|error| format!("chmod: {error}"))
}

/// The state is true, the container can be deleted and made anew, and nothing is left.
fn recover(ground: &Ground, follower: &mut Follower, hit: Option<&Hit>) -> Result<(), String> {
    let id = id(ground);
    let command = |args: &[&str]| oci(ground, args).command;
    soon_true(|| state_is_true(ground, follower))?;
    // What a container could not be made of is taken back; what can't be removed later stays in the list.
    if let Some(hit) = hit
        && !hit.kill
        && !hit.ended.succeeded()
        && hit.ended.stdout != SAID
        && hit.ended.status.is_some_and(|status| status.code().is_some())
        && hit.step.command.args.iter().any(|arg| arg == "create" || arg == "run")
    {
        nothing_is_left(ground, follower, "before anything else was run")?;
    }
    must(follower, &command(&["list"]))?;
    must(follower, &command(&["delete", "--force", &id]))?;
    let bundle = ground.path("bundle1");
    must(follower, &command(&["create", "--bundle", &bundle, &id]))?;
    must(follower, &command(&["start", &id]))?;
    must(follower, &command(&["delete", "--force", &id]))?;
    nothing_is_left(ground, follower, "in the end")
}

/// Whether who is said to run does.
fn state_is_true(ground: &Ground, follower: &mut Follower) -> Result<Truth, String> {
    let id = id(ground);
    let state = run(follower, &oci(ground, &["state", &id]).command)?;
    if !state.succeeded() {
        let gone = state.stderr.contains("does not exist");
        return if gone { Ok(Truth::True) } else { Err(format!("`state` afterwards: {}", state.told())) };
    }
    let told: Value =
        serde_json::from_str(&state.stdout).map_err(|error| format!("`state` prints no JSON: {error}"))?;
    let running = match told["status"].as_str() {
        Some("created" | "running" | "paused") => true,
        Some("stopped") => false,
        // Of that nobody says who runs.
        Some("creating") => return Ok(Truth::True),
        _ => return Err(format!("`state` has no status: {}", state.stdout)),
    };
    let said = format!("`state` says {}", told["status"]);
    Ok(Truth::of(told["pid"].as_u64().unwrap_or_default(), running, &said))
}

fn nothing_is_left(ground: &Ground, follower: &mut Follower, when: &str) -> Result<(), String> {
    let settled = follower.settle(super::follow::PATIENCE / 4).map_err(|error| error.to_string())?;
    if !settled {
        return Err(format!("{when}: processes are left: {:?}", children()));
    }
    let leaks: Vec<String> = ground.bed.leaks().iter().map(ToString::to_string).collect();
    if leaks.is_empty() { Ok(()) } else { Err(format!("{when}: left behind: {}", leaks.join(", "))) }
}
