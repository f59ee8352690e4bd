//! `berth userns explain`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use namespace::IdKind;
use serde_json::json;
use toolbox::accounts::Accounts;
use toolbox::containers;
use toolbox::process::Process;
use toolbox::userns::access::{self, Verdict};
use toolbox::userns::levels::{Levels, Trace};

use crate::toolbox::{Outcome, output};

#[derive(Args)]
pub struct Arguments {
    /// A group, not a user
    #[arg(short, long)]
    group: bool,
    /// May it open this file, found where the process finds it?
    #[arg(short, long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// JSON
    #[arg(long)]
    json: bool,
    /// A process id or a container
    target: String,
    /// An id in the process's user namespace; unless given, that of the process
    id: Option<u32>,
}

impl Arguments {
    pub fn run(self) -> Outcome {
        let pid = containers::resolve(&self.target)?;
        let (process, levels) = (Process::read(pid)?, Levels::of_process(pid)?);
        let kind = if self.group { IdKind::Group } else { IdKind::User };
        let own = if self.group { process.gids[1] } else { process.uids[1] };
        let inside = levels.levels.first().and_then(|level| level.map(kind)?.to_inside(own));
        let trace = self.id.or(inside).map(|id| levels.trace(kind, id));
        let uid = self.id.filter(|_| !self.group);
        let verdict =
            self.file.as_deref().map(|file| access::explain(&process, &levels, uid, file)).transpose()?;
        if self.json {
            output::print_json(
                &json!({ "trace": trace, "at_caller": trace.as_ref().and_then(Trace::at_caller), "file": verdict }),
            )?;
            return Ok(ExitCode::SUCCESS);
        }
        output::print(&describe(kind, trace.as_ref(), own))?;
        if let (Some(verdict), Some(file)) = (verdict, &self.file) {
            output::print(&describe_access(&verdict, &file.display().to_string()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(kind: IdKind, trace: Option<&Trace>, own: u32) -> String {
    let accounts = match kind {
        IdKind::User => Accounts::users(),
        IdKind::Group => Accounts::groups(),
    };
    match trace.map(|trace| (trace, trace.at_caller())) {
        None => format!("{kind} {own} has no id in the process's user namespace: it shows as 65534 there\n"),
        Some((trace, None)) => format!("{kind} {}: nobody may become or own anything as it\n", trace.text()),
        Some((trace, Some(id))) => format!("{kind} {} ({})\n", trace.text(), accounts.name(id)),
    }
}

fn describe_access(verdict: &Verdict, file: &str) -> String {
    let may = |allowed, what: &'static str| if allowed { what.to_owned() } else { format!("not {what}") };
    let summary = [may(verdict.read, "read"), may(verdict.write, "write"), may(verdict.execute, "execute")];
    let reasons: String = verdict.reasons.iter().map(|reason| format!("  {reason}\n")).collect();
    format!("may {} {file}\n{reasons}", summary.join(", "))
}
