//! `berth generate systemd`: units that start containers.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use engine::{Container, Paths};

use super::Outcome;
use super::context::Context;
use super::entry::{Entry, command};
use super::output::print;

pub const COMMANDS: &[Entry] = &[command!("systemd", "Print units of systemd for containers", Systemd)];

#[derive(Args)]
pub struct Systemd {
    /// Print the unit that starts what a restart policy wants running, after the host's start
    #[arg(long, conflicts_with = "containers")]
    boot: bool,
    /// Write files into the working directory, and print their names
    #[arg(short, long)]
    files: bool,
    /// Call containers by their names, not by their ids
    #[arg(short, long)]
    name: bool,
    /// When systemd starts it again: no, on-success, on-failure, on-abnormal, on-watchdog, on-abort, always
    #[arg(long, value_name = "POLICY", default_value = "on-failure")]
    restart_policy: Restart,
    /// Seconds to wait for it to stop before it is killed [default: what the container says]
    #[arg(short, long, value_name = "SECONDS")]
    time: Option<u32>,
    /// The first part of the units' names
    #[arg(long, value_name = "PREFIX", default_value = "container")]
    container_prefix: String,
    /// What is between the parts of the units' names
    #[arg(long, value_name = "SEPARATOR", default_value = "-")]
    separator: String,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required_unless_present = "boot")]
    containers: Vec<String>,
}

/// `Restart=` of systemd.service(5).
#[derive(Clone, Copy, clap::ValueEnum)]
enum Restart {
    No,
    OnSuccess,
    OnFailure,
    OnAbnormal,
    OnWatchdog,
    OnAbort,
    Always,
}

impl Systemd {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let berth = program(context.paths())?;
        let mut units = Vec::new();
        if self.boot {
            units.push(("berth.service".to_owned(), boot_unit(&berth, context.paths())));
        }
        for name in &self.containers {
            let container = engine.find(name)?;
            let called = if self.name { &container.name } else { &container.id };
            let file = format!("{}{}{called}.service", self.container_prefix, self.separator);
            units.push((file, self.unit(&container, called, &berth, context.paths())));
        }
        for (file, text) in units {
            if self.files {
                fs::write(&file, text).map_err(|error| format!("cannot write {file}: {error}"))?;
                let path = std::env::current_dir()?.join(file);
                print(&format!("{}\n", path.display()))?;
            } else {
                print(&format!("# {file}\n{text}"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The client in the foreground is what systemd watches: it ends with the container and its exit code.
    fn unit(&self, container: &Container, called: &str, berth: &str, paths: &Paths) -> String {
        let policy = clap::ValueEnum::to_possible_value(&self.restart_policy);
        let own = container.asked.config.stop_timeout.and_then(|seconds| u32::try_from(seconds).ok());
        let seconds = self.time.or(own).unwrap_or(10);
        let stop = format!("{berth} stop --timeout {seconds} {called}");
        format!(
            "{}\n\
             [Service]\n\
             Type=exec\n\
             Restart={}\n\
             ExecStart={berth} start --attach {called}\n\
             ExecStop={stop}\n\
             ExecStopPost=-{stop}\n\
             KillMode=mixed\n\
             TimeoutStopSec={}\n\
             SuccessExitStatus=143 SIGTERM\n\
             \n\
             [Install]\n\
             WantedBy=default.target\n",
            head(&format!("Container {} of berth", container.name), paths),
            policy.map_or_else(String::new, |policy| policy.get_name().to_owned()),
            // For systemd to end what ours could not.
            seconds.saturating_add(60),
        )
    }
}

/// Monitors are in the unit's control group, and stay when the unit is stopped.
fn boot_unit(berth: &str, paths: &Paths) -> String {
    format!(
        "{}\n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=true\n\
         ExecStart={berth} system start\n\
         KillMode=process\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n",
        head("Containers of berth that are to run", paths)
    )
}

fn head(description: &str, paths: &Paths) -> String {
    let mut head = String::from("[Unit]\n");
    // Into a string: never an error.
    let _ = write!(
        head,
        "Description={description}\n\
         Documentation=man:berth-generate-systemd(1)\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         RequiresMountsFor={}\n",
        quoted(&paths.root)
    );
    head
}

/// How this program is called, with what it was told about where things are.
fn program(paths: &Paths) -> Result<String, Box<dyn Error>> {
    let berth = std::env::current_exe()?;
    let root = match Paths::new(None).root == paths.root {
        true => String::new(),
        false => format!(" --root {}", quoted(&paths.root)),
    };
    Ok(quoted(&berth) + &root)
}

/// A path in systemd's syntax, where `%` and `$` have a meaning.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let text = text.replace('%', "%%").replace('$', "$$");
    if text.contains(char::is_whitespace) { format!("\"{text}\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_themselves_in_units() {
        assert_eq!(quoted(Path::new("/usr/bin/berth")), "/usr/bin/berth");
        assert_eq!(quoted(Path::new("/my dir/100%/$x\"")), "\"/my dir/100%%/$$x\\\"\"");
    }
}
