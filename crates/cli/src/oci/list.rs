//! `list`.

use clap::{Args, ValueEnum};
use runtime::Container;

use super::state::Shown;
use super::{Global, Outcome};

#[derive(Args)]
pub struct List {
    /// Form of the list
    #[arg(short, long, default_value = "table")]
    format: Form,
    /// Print only names
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Form {
    /// Columns
    Table,
    /// An array
    Json,
}

impl List {
    pub fn run(self, global: &Global) -> Outcome {
        let root = global.state_root();
        let ids = root.ids()?;
        if self.quiet {
            ids.iter().for_each(|id| println!("{id}"));
            return Ok(0);
        }
        // One that is deleted meanwhile is no container any more.
        let found = ids.iter().filter_map(|id| Container::open(&root, id).ok());
        let shown: Vec<Shown> = found.filter_map(|container| Shown::new(&container).ok()).collect();
        match self.format {
            Form::Json if shown.is_empty() => println!("null"),
            Form::Json => {
                let text = serde_json::to_string(&shown);
                println!("{}", text.map_err(|error| runtime::Failure::because("encode", "JSON", error))?);
            }
            Form::Table => print_table(&shown),
        }
        Ok(0)
    }
}

fn print_table(shown: &[Shown]) {
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    rows.extend(shown.iter().map(|s| {
        let Shown { id, pid, status, bundle, created, owner, .. } = s;
        [
            id.clone(),
            pid.to_string(),
            status.as_str().to_owned(),
            bundle.clone(),
            created.clone(),
            owner.clone(),
        ]
    }));
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count() + 3).max().unwrap_or(0).max(12);
    let widths: Vec<usize> = (0..5).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        println!("{}{}", cells.collect::<String>(), row[5]);
    }
}
