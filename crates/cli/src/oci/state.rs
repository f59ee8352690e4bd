//! `state`.

use std::collections::BTreeMap;

use oci::spec::Status;
use runtime::{Container, Failure};
use serde::Serialize;
use toolbox::accounts::Accounts;

use super::{Outcome, print_json};

/// What `state` and `list` print of a container: runc's fields.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    oci_version: String,
    pub id: String,
    pub pid: i32,
    pub status: Status,
    pub bundle: String,
    rootfs: String,
    pub created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    pub owner: String,
}

impl Shown {
    pub fn new(container: &Container) -> Result<Self, Failure> {
        let record = container.record();
        let status = container.status()?;
        Ok(Self {
            oci_version: record.oci_version.clone(),
            id: record.id.clone(),
            pid: if status == Status::Stopped { 0 } else { record.pid },
            status,
            bundle: record.bundle.display().to_string(),
            rootfs: record.rootfs.display().to_string(),
            created: record.created.clone(),
            annotations: record.annotations.clone(),
            owner: user_name(record.owner),
        })
    }
}

pub fn show(container: &Container) -> Outcome {
    print_json(&Shown::new(container)?)
}

/// The host's name for a user, `#1000` where it has none.
fn user_name(uid: u32) -> String {
    let name = Accounts::users().name(uid);
    if name == uid.to_string() { format!("#{uid}") } else { name }
}
