//! `ps`.

use std::process::Command;

use clap::Args;
use runtime::Failure;
use runtime::failure::OrFail;

use super::list::Form;
use super::{Global, Outcome};

#[derive(Args)]
pub struct Ps {
    /// Form of the list
    #[arg(short, long, default_value = "table")]
    format: Form,
    /// The container's name
    id: String,
    /// Options of ps(1) [default: -ef]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

impl Ps {
    pub fn run(self, global: &Global) -> Outcome {
        let pids = global.open(&self.id)?.pids()?;
        match self.format {
            Form::Json => {
                let text = serde_json::to_string(&pids)
                    .map_err(|error| Failure::because("encode", "JSON", error))?;
                println!("{text}");
            }
            Form::Table => print_rows(&pids, &self.options)?,
        }
        Ok(0)
    }
}

/// ps(1) knows the columns that its users want; of its rows, those of the container remain.
fn print_rows(pids: &[u32], options: &[String]) -> Result<(), Failure> {
    let default = ["-ef".to_owned()];
    let options = if options.is_empty() { &default[..] } else { options };
    let output = Command::new("ps").args(options).output().or_fail("run", "ps")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::because("run", format!("ps {}", options.join(" ")), said.trim_end()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let column = header.split_whitespace().position(|title| title == "PID");
    let column =
        column.ok_or_else(|| Failure::because("run", "ps", "couldn't find PID field in ps output"))?;
    println!("{header}");
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|field| field.parse().ok());
        if pid.is_some_and(|pid: u32| pids.contains(&pid)) {
            println!("{line}");
        }
    }
    Ok(())
}
