//! `berth layers`

use std::process::ExitCode;

use clap::Args;
use image::{Part, PartKind};

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::format::{Column, List, Row};
use crate::commands::output::{print, units};

#[derive(Args)]
pub struct Layers {
    /// A Go template, `table TEMPLATE`, or `json`
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Don't shorten ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// A container's name or id
    container: String,
}

const LIST: List<'_> = List {
    columns: &[
        Column { header: "PART", field: "Part" },
        Column { header: "LAYER", field: "ID" },
        Column { header: "SIZE", field: "Size" },
        Column { header: "CREATED BY", field: "CreatedBy" },
        Column { header: "PATH", field: "Path" },
    ],
    default: &["Part", "ID", "Size", "CreatedBy", "Path"],
};

/// The length that commands are cut to.
const SHORT_COMMAND: usize = 45;

impl Layers {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        let images = engine.images()?;
        let snapshot = images.snapshots().snapshot(&container.id).map_err(image::Error::from)?;
        let config = images.find(&container.image, &[]).ok().map(|image| image.config);
        let parts = images.parts_of(&snapshot, config.as_ref())?;
        let rows: Vec<Row> = parts.iter().map(|part| self.row(part)).collect();
        print(&LIST.render(self.format.as_deref(), &rows)?)?;
        Ok(ExitCode::SUCCESS)
    }

    fn row(&self, part: &Part) -> Row {
        let kind = match part.kind {
            PartKind::Changes => "changes",
            PartKind::Engine => "engine's files",
            PartKind::Layer => "image layer",
            PartKind::Host => "host's root",
        };
        let id = part.diff_id.map_or_else(String::new, |diff_id| match self.no_trunc {
            true => diff_id.to_string(),
            false => diff_id.short(),
        });
        let command = match self.no_trunc {
            true => part.created_by.clone(),
            false => units::shorten(&part.created_by, SHORT_COMMAND),
        };
        let fields = [
            ("Part", kind.to_owned()),
            ("ID", id),
            ("Size", part.bytes.map_or_else(String::new, |bytes| units::size(bytes, 3))),
            ("CreatedBy", command),
            ("Path", part.path.display().to_string()),
        ];
        fields.into_iter().map(|(field, value)| (field.to_owned(), value.into())).collect()
    }
}
