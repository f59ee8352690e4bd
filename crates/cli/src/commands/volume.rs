//! `berth volume …`

mod backup;
mod create;
mod inspect;
mod ls;
mod prune;
mod rm;

use std::collections::BTreeMap;

use engine::{Engine, ListQuery};

pub use inspect::find;

use super::context::Context;
use super::entry::{Entry, command};

pub const COMMANDS: &[Entry] = &[
    command!("backup", "Write a volume's files as a tar archive", backup::Backup),
    command!("create", "Make a volume", create::Create),
    command!("inspect", "Show all that is known of one or more volumes", inspect::Inspect),
    command!("ls" | "list", "List volumes", ls::Ls),
    command!("prune", "Remove volumes that no container uses", prune::Prune),
    command!("restore", "Fill a volume from a tar archive", backup::Restore),
    command!("rm" | "remove", "Remove one or more volumes", rm::Rm),
];

/// The containers that use volumes: ids by the volume's name.
pub fn users(engine: &Engine) -> engine::Result<BTreeMap<String, Vec<String>>> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for summary in engine.list(&ListQuery { all: true, ..ListQuery::default() })? {
        // The others are paths of the host.
        for volume in summary.state.row.mounts.iter().filter(|mount| !mount.starts_with('/')) {
            users.entry(volume.clone()).or_default().push(summary.id.clone());
        }
    }
    Ok(users)
}

impl Context {
    /// The volumes of this host.
    pub fn volumes(&self) -> engine::volumes::Volumes {
        engine::volumes::Volumes::new(&self.paths().root)
    }
}
