//! `berth ns ls`: the options of lsns.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use namespace::Kind;
use toolbox::containers::Containers;
use toolbox::ns::ls::{Column, Listing, Relation, Request};

use crate::toolbox::{Outcome, output};

#[derive(Args)]
pub struct Arguments {
    /// Only this type: mnt, uts, ipc, user, pid, net, cgroup or time; may be repeated
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    types: Vec<Kind>,
    /// Only the namespaces of this process or container
    #[arg(short = 'p', long, value_name = "TARGET")]
    task: Option<String>,
    /// Show each namespace below its parent, or below the user namespace that owns it
    #[arg(short = 'T', long, value_name = "RELATION", num_args = 0..=1, require_equals = true, default_missing_value = "owner")]
    tree: Option<Below>,
    /// Which columns, with commas between
    #[arg(short = 'o', long, value_name = "LIST", value_delimiter = ',')]
    output: Vec<Column>,
    /// All columns
    #[arg(long, conflicts_with = "output")]
    output_all: bool,
    /// No line of headings
    #[arg(short = 'n', long)]
    noheadings: bool,
    /// One space between columns, spaces in them as \x20
    #[arg(short = 'r', long)]
    raw: bool,
    /// A list, not a tree: the default
    #[arg(short = 'l', long, conflicts_with = "tree")]
    list: bool,
    /// Cut no line off at the width of the terminal
    #[arg(short = 'u', long)]
    notruncate: bool,
    /// Accepted for lsns's sake: nothing is wrapped
    #[arg(short = 'W', long)]
    nowrap: bool,
    /// JSON
    #[arg(short = 'J', long)]
    json: bool,
    /// Only the namespace with this number
    namespace: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Below {
    Parent,
    Owner,
}

impl Arguments {
    pub fn run(self) -> Outcome {
        let containers = Containers::read();
        let columns = match (self.output_all, self.output.is_empty()) {
            (true, _) => Column::ALL.to_vec(),
            (false, true) => Column::DEFAULT.to_vec(),
            (false, false) => self.output,
        };
        let request = Request {
            kinds: if self.types.is_empty() { Kind::ALL.to_vec() } else { self.types },
            task: self.task.map(|task| containers.resolve(&task)).transpose()?,
            namespace: self.namespace,
            columns,
            tree: self.tree.map(|below| match below {
                Below::Parent => Relation::Parent,
                Below::Owner => Relation::Owner,
            }),
        };
        let listing = Listing::new(request, &containers)?;
        if self.json {
            output::print_json(&listing.json())?;
        } else if self.raw {
            output::print(&listing.table().raw(!self.noheadings))?;
        } else {
            let table = listing.table();
            let text = if self.noheadings { table.body() } else { table.to_string() };
            if self.notruncate { output::print(&text)? } else { output::print_table(&text)? }
        }
        if listing.hidden() > 0 {
            eprintln!("berth: the namespaces of {} processes may only be seen by root", listing.hidden());
        }
        Ok(ExitCode::SUCCESS)
    }
}
