//! `berth volume ls`

use std::process::ExitCode;

use clap::Args;
use engine::Filters;
use engine::volumes::Volume;
use serde_json::{Value, json};

use super::users;
use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::format::{Column, LABELS, List, Row};
use crate::commands::output::{print, units};

#[derive(Args)]
pub struct Ls {
    /// Show volumes that fit: dangling, driver, label or name, as NAME=VALUE
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// A Go template, `table TEMPLATE`, or `json`
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print names only
    #[arg(short, long)]
    quiet: bool,
}

const LIST: List<'_> = List {
    columns: &[
        Column { header: "DRIVER", field: "Driver" },
        Column { header: "VOLUME NAME", field: "Name" },
        Column { header: "SCOPE", field: "Scope" },
        Column { header: "MOUNTPOINT", field: "Mountpoint" },
        Column { header: "LABELS", field: "Labels" },
        Column { header: "LINKS", field: "Links" },
        Column { header: "SIZE", field: "Size" },
    ],
    default: &["Driver", "Name"],
};

impl Ls {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let filters = Filters::parse(self.filter.iter().map(String::as_str))?;
        let found = context.volumes().filtered(&filters, &|| users(&engine))?;
        if self.quiet {
            print(&found.iter().map(|volume| format!("{}\n", volume.name())).collect::<String>())?;
            return Ok(ExitCode::SUCCESS);
        }
        // Counting takes a walk through all files.
        let sized = self.format.as_ref().is_some_and(|format| format.contains(".Size"));
        let rows: Vec<Row> = found.iter().map(|volume| row(volume, sized)).collect();
        print(&LIST.render(self.format.as_deref(), &rows)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn row(volume: &Volume, sized: bool) -> Row {
    let info = volume.inspect();
    let labels: Vec<String> = volume.labels().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let fields: [(&str, Value); 8] = [
        ("Driver", info.driver.into()),
        ("Labels", labels.join(",").into()),
        ("Links", "N/A".into()),
        ("Mountpoint", info.mountpoint.into()),
        ("Name", info.name.into()),
        ("Scope", info.scope.into()),
        ("Size", if sized { units::size(volume.size(), 4).into() } else { "N/A".into() }),
        (LABELS, json!(volume.labels())),
    ];
    fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
}
