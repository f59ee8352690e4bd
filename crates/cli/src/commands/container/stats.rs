//! `berth stats`

use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use engine::{Container, Engine, Error, ListQuery, Usage};

use super::ls::short;
use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::format::{Column, List, Row};
use crate::commands::output::{Stream, print, units};

#[derive(Args)]
pub struct Stats {
    /// Show all containers, not only those that run
    #[arg(short, long, conflicts_with = "containers")]
    all: bool,
    /// A Go template, `table TEMPLATE`, or `json`
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print once, and end
    #[arg(long)]
    no_stream: bool,
    /// Don't shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// Names or ids [default: all that run]
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

const LIST: List<'_> = List {
    columns: &[
        Column { header: "CONTAINER", field: "Container" },
        Column { header: "CONTAINER ID", field: "ID" },
        Column { header: "NAME", field: "Name" },
        Column { header: "CPU %", field: "CPUPerc" },
        Column { header: "MEM USAGE / LIMIT", field: "MemUsage" },
        Column { header: "MEM %", field: "MemPerc" },
        Column { header: "NET I/O", field: "NetIO" },
        Column { header: "NET I/O BY INTERFACE", field: "NetIOByInterface" },
        Column { header: "BLOCK I/O", field: "BlockIO" },
        Column { header: "PIDS", field: "PIDs" },
    ],
    default: &["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"],
};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between the two looks that one table takes.
const GLANCE: Duration = Duration::from_millis(250);

impl Stats {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        // What is not there is told before anything else is shown.
        for name in &self.containers {
            engine.find(name)?;
        }
        let mut before = self.look(&engine)?;
        sleep(GLANCE);
        loop {
            let now = self.look(&engine)?;
            let rows: Vec<Row> = now.iter().map(|looked| self.row(looked, &before)).collect();
            let text = LIST.render(self.format.as_deref(), &rows)?;
            if self.no_stream {
                print(&text)?;
                return Ok(ExitCode::SUCCESS);
            }
            print(&if Stream::Stdout.is_terminal() { redrawn(&text) } else { text })?;
            before = now;
            sleep(INTERVAL);
        }
    }

    /// What those that are asked for have used up to now. One that is removed meanwhile is no longer shown.
    fn look(&self, engine: &Engine) -> Result<Vec<Looked>, Error> {
        let names: Vec<String> = match self.containers.is_empty() {
            false => self.containers.clone(),
            true => {
                let query = ListQuery { all: self.all, ..ListQuery::default() };
                engine.list(&query)?.into_iter().map(|summary| summary.id).collect()
            }
        };
        let mut looked = Vec::with_capacity(names.len());
        for name in names {
            let found = engine.find(&name).and_then(|container| {
                let usage = engine.stats(&container);
                // One that has just ended uses nothing.
                let usage = usage.or_else(|error| match engine.state(&container)?.status.is_active() {
                    true => Err(error),
                    false => Ok(Usage::default()),
                })?;
                Ok(Looked { name, container, usage })
            });
            match found {
                Ok(found) => looked.push(found),
                Err(Error::NoSuchContainer(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(looked)
    }

    fn row(&self, looked: &Looked, before: &[Looked]) -> Row {
        let Looked { name, container, usage } = looked;
        let earlier = before.iter().find(|earlier| earlier.container.id == container.id);
        let cpu = earlier.map_or(0.0, |earlier| usage.cpu_percent(&earlier.usage));
        let id = if self.no_trunc { container.id.as_str() } else { short(&container.id) };
        let pair = |[left, right]: [u64; 2]| format!("{} / {}", units::size(left, 3), units::size(right, 3));
        let memory = format!("{} / {}", units::binary(usage.memory), units::binary(usage.memory_limit));
        let fields = [
            ("Container", if *name == container.id { short(name).to_owned() } else { name.clone() }),
            ("ID", id.to_owned()),
            ("Name", container.name.clone()),
            ("CPUPerc", format!("{cpu:.2}%")),
            ("MemUsage", memory),
            ("MemPerc", format!("{:.2}%", usage.memory_percent())),
            ("NetIO", pair(usage.network)),
            ("BlockIO", pair(usage.block)),
            ("NetIOByInterface", by_interface(usage, pair)),
            ("PIDs", usage.pids.to_string()),
        ];
        let mut row: Row =
            fields.into_iter().map(|(field, value)| (field.to_owned(), value.into())).collect();
        row.insert("Interfaces".to_owned(), serde_json::json!(usage.interfaces));
        row
    }
}

/// What each interface has received and sent: `eth0 1.2kB / 648B, eth1 …`.
fn by_interface(usage: &Usage, pair: impl Fn([u64; 2]) -> String) -> String {
    let interfaces = usage.interfaces.iter().filter(|interface| interface.name != "lo");
    let each: Vec<String> = interfaces
        .map(|interface| format!("{} {}", interface.name, pair([interface.rx_bytes, interface.tx_bytes])))
        .collect();
    each.join(", ")
}

/// A container and what it has used.
struct Looked {
    /// As it was asked for.
    name: String,
    container: Container,
    usage: Usage,
}

/// A table in the place of the last one: each line up to its end, and nothing below.
fn redrawn(text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("{line}\x1b[K\n")).collect();
    format!("\x1b[H{lines}\x1b[J")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_drawn_over_the_last() {
        assert_eq!(redrawn("A\nB\n"), "\x1b[HA\x1b[K\nB\x1b[K\n\x1b[J");
    }
}
