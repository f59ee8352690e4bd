//! `berth system df`

use std::collections::HashSet;
use std::process::ExitCode;

use clap::Args;
use engine::volumes::Volume;
use engine::{ListQuery, Summary};
use image::{DiskUsage, ImageUsage};

use crate::commands::container::ls::short;
use crate::commands::context::Context;
use crate::commands::image::rm::familiar;
use crate::commands::output::format::{Column, List, Row, table};
use crate::commands::output::{print, units};
use crate::commands::{Outcome, volume};

#[derive(Args)]
pub struct Df {
    /// Show each image, container and volume
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

/// What is there, of each kind.
struct Found {
    images: DiskUsage,
    /// Ids of images that containers use.
    used_images: HashSet<String>,
    containers: Vec<Summary>,
    /// With the number of containers that use it.
    volumes: Vec<(Volume, usize)>,
}

impl Df {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let containers = engine.list(&ListQuery { all: true, size: true, ..ListQuery::default() })?;
        let users = volume::users(&engine)?;
        let volumes = context.volumes().list()?.into_iter().map(|volume| {
            let count = users.get(volume.name()).map_or(0, Vec::len);
            (volume, count)
        });
        let found = Found {
            images: context.images()?.disk_usage()?,
            used_images: containers.iter().map(|container| container.state.row.image_id.clone()).collect(),
            volumes: volumes.collect(),
            containers,
        };
        let text =
            if self.verbose { found.verbose() } else { LIST.render(self.format.as_deref(), &found.rows())? };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Found {
    fn rows(&self) -> Vec<Row> {
        let images = &self.images;
        let used = |image: &&ImageUsage| self.used_images.contains(&image.id.to_string());
        let active = images.images.iter().filter(used).count();
        let idle: u64 = images.images.iter().filter(|image| !used(image)).map(|image| image.unique).sum();
        let size = images.store.referenced + images.store.other + images.layers;
        let unused = images.store.unreferenced + images.store.partial + images.unused_layers;

        let own = |container: &Summary| container.size.map_or(0, |(own, _)| own);
        let is_active = |container: &&Summary| container.state.status.is_active();
        let changed: u64 = self.containers.iter().map(own).sum();
        let running = self.containers.iter().filter(is_active).count();
        let stopped = self.containers.iter().filter(|container| !is_active(container));

        let sizes: Vec<(u64, usize)> =
            self.volumes.iter().map(|(volume, users)| (volume.size(), *users)).collect();
        let unused_volumes = sizes.iter().filter(|(_, users)| *users == 0);
        vec![
            row("Images", images.images.len(), active, size, idle),
            row("Containers", self.containers.len(), running, changed, stopped.map(own).sum()),
            row(
                "Local Volumes",
                sizes.len(),
                sizes.iter().filter(|(_, users)| *users > 0).count(),
                sizes.iter().map(|(size, _)| size).sum(),
                unused_volumes.map(|(size, _)| size).sum(),
            ),
            row("Unreferenced", 0, 0, unused, unused),
            row("Other", 0, 0, images.other + images.snapshots.saturating_sub(changed), 0),
        ]
    }

    fn verbose(&self) -> String {
        let mut images = vec!["IMAGE\tIMAGE ID\tCREATED\tSIZE\tSHARED SIZE\tUNIQUE SIZE".to_owned()];
        for image in &self.images.images {
            let name = image.names.first().map_or_else(|| "<none>".to_owned(), |name| familiar(name));
            let created = units::ago(image.created.as_deref());
            let sizes =
                [image.size, image.shared, image.unique].map(|bytes| units::size(bytes, 4)).join("\t");
            images.push(format!("{name}\t{}\t{created}\t{sizes}", image.id.short()));
        }
        let mut containers =
            vec!["CONTAINER ID\tIMAGE\tLOCAL VOLUMES\tSIZE\tCREATED\tSTATUS\tNAMES".to_owned()];
        for Summary { id, state, size } in &self.containers {
            let volumes = state.row.mounts.iter().filter(|mount| !mount.starts_with('/')).count();
            let size = units::size(size.map_or(0, |(own, _)| own), 3);
            let created = units::ago(Some(&state.row.created));
            let (image, status, name) = (&state.row.image, state.text_now(), &state.row.name);
            containers
                .push(format!("{}\t{image}\t{volumes}\t{size}\t{created}\t{status}\t{name}", short(id)));
        }
        let mut volumes = vec!["VOLUME NAME\tLINKS\tSIZE".to_owned()];
        for (volume, users) in &self.volumes {
            volumes.push(format!("{}\t{users}\t{}", volume.name(), units::size(volume.size(), 4)));
        }
        format!(
            "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}",
            table(&images),
            table(&containers),
            table(&volumes)
        )
    }
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
