//! What the kernel itself counts and logs of a container's denials, whoever started it.

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::container::Container;
use crate::engine::Engine;
use crate::error::Result;

/// What is known without having looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// What was denied.
    pub denied: Vec<String>,
    /// What can't be known.
    pub unknown: Vec<String>,
}

impl Engine {
    /// What counters of its control groups and the kernel's log say of a container.
    ///
    /// # Errors
    /// Its record or its control group can't be read.
    pub fn counted_denials(&self, container: &Container) -> Result<Counted> {
        let state = self.state(container)?;
        let mut counted = Counted::default();
        if state.oom_killed {
            counted.denied.push(out_of_memory("a process was killed in its last run"));
        }
        let payload = if state.status.is_active() { self.payload(&container.id)? } else { None };
        let group = payload.as_ref().and_then(|payload| payload.cgroup());
        let mut pids = Vec::new();
        match group {
            Some(group) => {
                let kills = group.oom_kills()?;
                if kills > 0 {
                    counted.denied.push(out_of_memory(&format!("{kills} processes were killed")));
                }
                pids = group.pids()?;
                counted.denied.extend(refused_forks(&group.paths()));
            }
            None => {
                counted.unknown.push("counters of its control groups, which went when it ended".to_owned());
            }
        }
        match kernel_log() {
            Ok(log) => counted.denied.extend(logged(&log, &container.id, &pids)),
            Err(error) => counted.unknown.push(format!("the kernel's log (/dev/kmsg: {error})")),
        }
        counted
            .unknown
            .push("failed system calls: they are seen where it is run with --explain-denials".to_owned());
        Ok(counted)
    }
}

fn out_of_memory(what: &str) -> String {
    format!("memory: {what} for want of memory; allowed by --memory with more")
}

/// `pids.events` counts forks that the limit refused, in both versions.
fn refused_forks(paths: &std::collections::BTreeMap<&'static str, std::path::PathBuf>) -> Option<String> {
    let text = paths.values().find_map(|path| fs::read_to_string(path.join("pids.events")).ok())?;
    let count: u64 = text.lines().find_map(|line| line.strip_prefix("max ")?.trim().parse().ok())?;
    (count > 0).then(|| format!("processes: {count} forks were refused; allowed by --pids-limit with more"))
}

/// All that the kernel's log holds now.
fn kernel_log() -> std::io::Result<String> {
    // Each read gives one record; at the end there is nothing to wait for.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = fs::OpenOptions::new().read(true).custom_flags(flags).open(Path::new("/dev/kmsg"))?;
    let (mut log, mut record) = (String::new(), vec![0; 8192]);
    loop {
        match file.read(&mut record) {
            Ok(0) => return Ok(log),
            Ok(length) => {
                log.push_str(&String::from_utf8_lossy(&record[..length]));
                log.push('\n');
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(log),
            // EPIPE: overwritten while it was read; what follows is there.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error),
        }
    }
}

/// The lines about a container: by its id, or by its processes.
fn logged(log: &str, id: &str, pids: &[u32]) -> Vec<String> {
    let is_its_own = |line: &str| {
        let mut words = line.split([' ', ',']);
        words.any(|word| {
            word.strip_prefix("pid=").is_some_and(|pid| pid.parse().is_ok_and(|pid| pids.contains(&pid)))
        })
    };
    let told = |line: &str| {
        let text = line.split_once(';').map_or(line, |(_, text)| text);
        let flag = match () {
            () if text.contains("type=1326") && is_its_own(text) => "--security-opt seccomp=FILE",
            () if text.contains("apparmor=\"DENIED\"") && is_its_own(text) => {
                "--security-opt apparmor=PROFILE"
            }
            () if text.starts_with("oom-kill:") && text.contains(id) => "--memory with more",
            () => return None,
        };
        Some(format!("kernel log: {text}; allowed by {flag}"))
    };
    log.lines().filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernels_log_are_told_apart() {
        let log = "6,1,2,-;audit: type=1326 audit(1.2:3): auid=0 pid=77 comm=\"x\" syscall=165\n\
                   6,1,2,-;audit: type=1326 audit(1.2:3): auid=0 pid=78 comm=\"x\" syscall=165\n\
                   6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/berth/abc,task=x,pid=9,uid=0\n\
                   6,1,2,-;eth0: link up\n";
        let told = logged(log, "abc", &[77]);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("pid=77") && told[1].contains("--memory"));
        assert!(logged(log, "xyz", &[]).is_empty());
    }
}
