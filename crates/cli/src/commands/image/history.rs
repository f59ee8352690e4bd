//! `berth history`

use std::process::ExitCode;

use clap::{ArgAction, Args};
use image::{Image, Images};

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::format::{Column, List, Row};
use crate::commands::output::{print, units};

#[derive(Args)]
pub struct History {
    /// A Go template, `table TEMPLATE`, or `json`
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Sizes and dates for people
    #[arg(short = 'H', long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
        default_missing_value = "true", require_equals = true)]
    human: bool,
    /// Don't shorten ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// A name or id
    image: String,
}

const LIST: List<'_> = List {
    columns: &[
        Column { header: "IMAGE", field: "ID" },
        Column { header: "CREATED", field: "CreatedSince" },
        Column { header: "CREATED AT", field: "CreatedAt" },
        Column { header: "CREATED BY", field: "CreatedBy" },
        Column { header: "SIZE", field: "Size" },
        Column { header: "COMMENT", field: "Comment" },
    ],
    default: &["ID", "CreatedSince", "CreatedBy", "Size", "Comment"],
};

/// The length that commands are cut to.
const SHORT_COMMAND: usize = 45;

impl History {
    pub fn run(self, context: &Context) -> Outcome {
        let images = context.images()?;
        let image = context.find(&images, &self.image)?;
        let rows = self.rows(&images, &image);
        match self.quiet {
            true => {
                let ids = rows.iter().filter_map(|row| row["ID"].as_str()).map(|id| format!("{id}\n"));
                print(&ids.collect::<String>())?;
            }
            false => print(&LIST.render(self.format.as_deref(), &rows)?)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The steps, newest first. Only the last one made an image that has an id.
    fn rows(&self, images: &Images, image: &Image) -> Vec<Row> {
        let mut sizes =
            image.config.chain_ids().into_iter().zip(&image.manifest.layers).map(|(chain_id, layer)| {
                images.snapshots().layer(&chain_id).map_or(layer.size, |layer| layer.bytes)
            });
        let mut rows = Vec::new();
        for step in &image.config.history {
            let size = if step.empty_layer { 0 } else { sizes.next().unwrap_or(0) };
            let (created, command) = (step.created.as_deref(), step.created_by.clone().unwrap_or_default());
            let fields = [
                ("ID", "<missing>".to_owned()),
                (
                    "CreatedSince",
                    if self.human { units::ago(created) } else { created.unwrap_or("").to_owned() },
                ),
                ("CreatedAt", created.unwrap_or_default().to_owned()),
                ("CreatedBy", if self.no_trunc { command } else { units::shorten(&command, SHORT_COMMAND) }),
                ("Size", if self.human { units::size(size, 3) } else { size.to_string() }),
                ("Comment", step.comment.clone().unwrap_or_default()),
            ];
            rows.push(
                fields.into_iter().map(|(field, value)| (field.to_owned(), value.into())).collect::<Row>(),
            );
        }
        if let Some(last) = rows.last_mut() {
            let id = image.id();
            last.insert("ID".to_owned(), if self.no_trunc { id.to_string() } else { id.short() }.into());
        }
        rows.reverse();
        rows
    }
}
