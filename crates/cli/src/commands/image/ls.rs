//! `berth images`

use std::process::ExitCode;

use clap::Args;
use image::{Filter, Listed};
use serde_json::Value;

use super::filter;
use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::format::{Column, List, Row};
use crate::commands::output::{print, units};

#[derive(Args)]
pub struct Images {
    /// Show all images; there are no intermediate ones to hide
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Show images that fit: dangling=BOOL, label=NAME[=VALUE], reference=PATTERN, before=IMAGE, since=IMAGE,
    /// until=TIME
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// A Go template, `table TEMPLATE`, or `json`
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Don't shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// REPOSITORY[:TAG], where * and ? are wild
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pattern: Option<String>,
}

const COLUMNS: &[Column] = &[
    Column { header: "REPOSITORY", field: "Repository" },
    Column { header: "TAG", field: "Tag" },
    Column { header: "DIGEST", field: "Digest" },
    Column { header: "IMAGE ID", field: "ID" },
    Column { header: "CREATED", field: "CreatedSince" },
    Column { header: "CREATED AT", field: "CreatedAt" },
    Column { header: "SIZE", field: "Size" },
    Column { header: "CONTAINERS", field: "Containers" },
    Column { header: "SHARED SIZE", field: "SharedSize" },
    Column { header: "UNIQUE SIZE", field: "UniqueSize" },
    Column { header: "VIRTUAL SIZE", field: "VirtualSize" },
];

const NONE: &str = "<none>";

impl Images {
    pub fn run(self, context: &Context) -> Outcome {
        let images = context.images()?;
        let known = ["before", "dangling", "label", "reference", "since", "until"];
        let mut filters = filter::parse(context, &images, &self.filter, &known)?;
        filters.extend(self.pattern.clone().map(Filter::Reference));
        let listed = images.list(&filters)?;
        if self.quiet {
            let mut ids: Vec<String> = listed.iter().map(|line| self.id(line)).collect();
            ids.dedup();
            print(&ids.iter().map(|id| format!("{id}\n")).collect::<String>())?;
            return Ok(ExitCode::SUCCESS);
        }
        let default: &[&str] = match self.digests {
            false => &["Repository", "Tag", "ID", "CreatedSince", "Size"],
            true => &["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"],
        };
        let rows: Vec<Row> = listed.iter().map(|line| self.row(line)).collect();
        print(&List { columns: COLUMNS, default }.render(self.format.as_deref(), &rows)?)?;
        Ok(ExitCode::SUCCESS)
    }

    fn id(&self, line: &Listed) -> String {
        if self.no_trunc { line.id.to_string() } else { line.id.short() }
    }

    fn row(&self, line: &Listed) -> Row {
        let reference = line.reference.as_ref();
        let size = units::size(line.size, 3);
        let fields = [
            ("Repository", reference.map_or_else(|| NONE.to_owned(), |name| name.familiar_name())),
            ("Tag", reference.and_then(|name| name.tag()).unwrap_or(NONE).to_owned()),
            ("Digest", line.target.digest.to_string()),
            ("ID", self.id(line)),
            ("CreatedSince", units::ago(line.created.as_deref())),
            ("CreatedAt", units::timestamp(line.created.as_deref())),
            ("Size", size.clone()),
            ("Containers", "N/A".to_owned()),
            ("SharedSize", "N/A".to_owned()),
            ("UniqueSize", "N/A".to_owned()),
            ("VirtualSize", size),
        ];
        fields.into_iter().map(|(field, value)| (field.to_owned(), Value::String(value))).collect()
    }
}
