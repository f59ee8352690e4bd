//! `berth df`

use std::process::ExitCode;

use clap::Args;
use image::DiskUsage;

use super::Outcome;
use super::context::Context;
use super::image::rm::familiar;
use super::output::format::{Column, List, Row, table};
use super::output::{print, units};

#[derive(Args)]
pub struct Df {
    /// Show each image
    #[arg(short, long, conflicts_with = "format")]
    verbose: bool,
    /// A Go template, `table TEMPLATE`, or `json`
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

const LIST: List<'_> = List {
    columns: &[
        Column { header: "TYPE", field: "Type" },
        Column { header: "TOTAL", field: "TotalCount" },
        Column { header: "ACTIVE", field: "Active" },
        Column { header: "SIZE", field: "Size" },
        Column { header: "RECLAIMABLE", field: "Reclaimable" },
    ],
    default: &["Type", "TotalCount", "Active", "Size", "Reclaimable"],
};

impl Df {
    pub fn run(self, context: &Context) -> Outcome {
        let images = context.images()?;
        let (usage, in_use) = (images.disk_usage()?, images.in_use()?);
        if self.verbose {
            print(&verbose(&usage))?;
            return Ok(ExitCode::SUCCESS);
        }
        let active = usage.images.iter().filter(|image| in_use.contains(&image.id)).count();
        let idle = usage.images.iter().filter(|image| !in_use.contains(&image.id));
        let unused = usage.store.unreferenced + usage.store.partial + usage.unused_layers;
        let rows = [
            row(
                "Images",
                usage.images.len(),
                active,
                size_of_images(&usage),
                idle.map(|image| image.unique).sum(),
            ),
            row("Snapshots", 0, 0, usage.snapshots, 0),
            row("Unreferenced", 0, 0, unused, unused),
        ];
        print(&LIST.render(self.format.as_deref(), &rows)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn size_of_images(usage: &DiskUsage) -> u64 {
    usage.store.referenced + usage.store.other + usage.layers
}

fn row(kind: &str, total: usize, active: usize, size: u64, reclaimable: u64) -> Row {
    let share = (reclaimable * 100).checked_div(size).unwrap_or(0);
    let reclaimable = format!("{} ({share}%)", units::size(reclaimable, 4));
    let fields = [
        ("Type", kind.to_owned()),
        ("TotalCount", total.to_string()),
        ("Active", active.to_string()),
        ("Size", units::size(size, 4)),
        ("Reclaimable", reclaimable),
    ];
    fields.into_iter().map(|(field, value)| (field.to_owned(), value.into())).collect()
}

fn verbose(usage: &DiskUsage) -> String {
    let mut lines = vec!["IMAGE\tIMAGE ID\tCREATED\tSIZE\tSHARED SIZE\tUNIQUE SIZE".to_owned()];
    for image in &usage.images {
        let name = image.names.first().map_or_else(|| "<none>".to_owned(), |name| familiar(name));
        let created = units::ago(image.created.as_deref());
        let sizes = [image.size, image.shared, image.unique].map(|bytes| units::size(bytes, 4)).join("\t");
        lines.push(format!("{name}\t{}\t{created}\t{sizes}", image.id.short()));
    }
    table(&lines)
}
