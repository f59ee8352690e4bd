//! Running hooks.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oci::spec::{Hook, State};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};

use crate::failure::{Failure, OrFail, Result};

/// As much of a hook's output as goes into a message.
const OUTPUT: u64 = 8 << 10;

/// Runs hooks in order, each with the state on its stdin; stops at the first that fails.
pub(crate) fn run(kind: &str, hooks: &[Hook], state: &State, directory: Option<&Path>) -> Result<()> {
    let state = serde_json::to_vec(state).map_err(std::io::Error::other).or_fail("encode", "state")?;
    for (i, hook) in hooks.iter().enumerate() {
        run_one(hook, &state, directory).map_err(|failure| Failure {
            operation: format!("error running {kind} hook #{i}: {}", failure.operation),
            ..failure
        })?;
    }
    Ok(())
}

/// Runs all hooks, whatever becomes of those before, and gives the first failure: poststop, when there is nothing left
/// that a failure could keep from happening.
pub(crate) fn run_all(kind: &str, hooks: &[Hook], state: &State, directory: Option<&Path>) -> Result<()> {
    let run = |hook| run(kind, std::slice::from_ref(hook), state, directory);
    let outcomes: Vec<Result<()>> = hooks.iter().map(run).collect();
    outcomes.into_iter().collect()
}

fn run_one(hook: &Hook, state: &[u8], directory: Option<&Path>) -> Result<()> {
    let mut command = Command::new(&hook.path);
    if let Some((name, args)) = hook.args.split_first() {
        command.arg0(name).args(args);
    }
    let variables = hook.env.iter().filter_map(|variable| variable.split_once('='));
    command.env_clear().envs(variables);
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().or_fail("exec", &hook.path)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook need not read its stdin.
        let _ = stdin.write_all(state);
    }
    let output = wait(&mut child, hook)?;
    let status = child.wait().or_fail("wait for", &hook.path)?;
    if status.success() {
        return Ok(());
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let seccomp = match status.signal() {
        Some(libc::SIGSYS) => " (bad system call: the seccomp profile forbids what the hook called)",
        _ => "",
    };
    let cause = format!("{status}{seccomp}, stdout: {}, stderr: {}", text(&output[0]), text(&output[1]));
    Err(Failure::because("run", &hook.path, cause))
}

/// Collects output until the hook ends or its time is up, when it is killed.
fn wait(child: &mut Child, hook: &Hook) -> Result<[Vec<u8>; 2]> {
    let deadline = hook.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds.max(0) as u64));
    let pid = Pid::from_child(child);
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).or_fail("open pidfd of", &hook.path)?;
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let mut output = [Vec::new(), Vec::new()];
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            let _ = child.kill();
            let _ = child.wait();
            let seconds = hook.timeout.unwrap_or_default();
            return Err(Failure::because(
                "run",
                &hook.path,
                format!("hook ran past specified timeout of {seconds}.0s"),
            ));
        }
        let timeout =
            left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
        let mut fds = vec![PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
        // A pipe that is closed would be reported again and again: it is left out.
        let pipes = [out.as_ref().map(AsFd::as_fd), err.as_ref().map(AsFd::as_fd)];
        fds.extend(pipes.into_iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno).or_fail("wait for", &hook.path),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let ended = ready[0];
        let mut ready = ready.into_iter().skip(1);
        // What a hook leaves in the background may hold the pipes for ever: its own end is what counts.
        let mut more = false;
        if out.is_some() && ready.next() == Some(true) {
            more |= read_some(&mut out, &mut output[0]);
        }
        if err.is_some() && ready.next() == Some(true) {
            more |= read_some(&mut err, &mut output[1]);
        }
        if ended && !more {
            return Ok(output);
        }
    }
}

/// Reads what there is, and drops a pipe that is at its end. Whether there was anything.
fn read_some(pipe: &mut Option<impl Read>, to: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    match pipe.as_mut().map(|pipe| pipe.read(&mut buffer)) {
        Some(Ok(n)) if n > 0 => {
            let room = (OUTPUT as usize).saturating_sub(to.len());
            to.extend(&buffer[..n.min(room)]);
            true
        }
        _ => {
            *pipe = None;
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::spec::Status;

    fn state() -> State {
        State {
            oci_version: "1.0.2".into(),
            id: "c".into(),
            status: Status::Creating,
            pid: 1,
            bundle: "/b".into(),
            annotations: Default::default(),
        }
    }

    fn shell(script: &str, timeout: Option<i64>) -> Hook {
        let args = vec!["sh".into(), "-c".into(), script.into()];
        Hook { path: "/bin/sh".into(), args, env: vec!["X=1".into()], timeout }
    }

    #[test]
    fn a_hook_reads_the_state_and_has_only_its_own_environment() {
        let script = "grep -q '\"id\":\"c\"' && [ \"$X\" = 1 ] && [ -z \"$HOME\" ]";
        run("prestart", &[shell(script, None)], &state(), None).unwrap();
    }

    #[test]
    fn a_failing_hook_is_named_with_what_it_said() {
        let failure =
            run("prestart", &[shell("echo why >&2; exit 3", None)], &state(), None).unwrap_err().to_string();
        assert!(failure.contains("prestart hook #0") && failure.contains("exit status: 3"), "{failure}");
        assert!(failure.contains("stderr: why"), "{failure}");
    }

    #[test]
    fn a_hook_past_its_time_is_killed() {
        let failure =
            run("poststop", &[shell("exec sleep 60", Some(1))], &state(), None).unwrap_err().to_string();
        assert!(failure.contains("timeout"), "{failure}");
    }

    #[test]
    fn what_a_hook_leaves_in_the_background_is_not_waited_for() {
        let start = Instant::now();
        run("prestart", &[shell("sleep 5 & exit 0", None)], &state(), None).unwrap();
        assert!(start.elapsed() < Duration::from_secs(4));
    }
}
