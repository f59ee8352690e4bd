//! `berth userns set`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use namespace::{Extent, IdMap, MapError};
use rustix::process::Pid;
use toolbox::userns::set::{Request, foresee, set};

use crate::toolbox::{Outcome, output};

#[derive(Args)]
pub struct Arguments {
    /// Users: INSIDE:OUTSIDE:COUNT; may be repeated
    #[arg(short, long = "uid", value_name = "RANGE")]
    users: Vec<Extent>,
    /// Groups: INSIDE:OUTSIDE:COUNT; may be repeated
    #[arg(short, long = "gid", value_name = "RANGE")]
    groups: Vec<Extent>,
    /// Forbid setgroups(2) before the groups are mapped
    #[arg(long, value_name = "deny")]
    setgroups: Option<Setgroups>,
    /// Write through newuidmap and newgidmap in any case
    #[arg(long)]
    helper: bool,
    /// Write nothing: say what would keep the caller from writing by himself
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// A process in the new user namespace
    pid: i32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Setgroups {
    Deny,
}

impl Arguments {
    pub fn run(self) -> Outcome {
        let map = |extents: Vec<Extent>| match extents.is_empty() {
            true => Ok::<_, MapError>(None),
            false => IdMap::new(extents).map(Some),
        };
        let request = Request {
            pid: Some(self.pid)
                .filter(|&pid| pid > 0)
                .and_then(Pid::from_raw)
                .ok_or("process ids begin at 1")?,
            users: map(self.users)?,
            groups: map(self.groups)?,
            deny_setgroups: matches!(self.setgroups, Some(Setgroups::Deny)),
            helper: self.helper,
        };
        if !self.dry_run {
            set(&request)?;
            return Ok(ExitCode::SUCCESS);
        }
        let refusals = foresee(&request)?;
        for refusal in &refusals {
            output::print(&format!("{refusal}\n"))?;
        }
        Ok(if refusals.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
