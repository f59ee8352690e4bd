//! What is being changed: a note before the first step, removed after the last. One that is found with nobody at it was
//! left by a SIGKILL, and whoever finds it makes things whole.
//!
//! ```text
//! RUN/network/changes/CONTAINER   a container that runs gets one more network, or one less; under the container's lock
//! RUN/network/changes/networks    a network is made or removed; under the lock of the networks
//! ```

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::disk::{self, Lock};
use crate::endpoint::Attachment;
use crate::{Networks, Result};

/// The note about the networks themselves.
const NETWORKS: &str = "networks";

impl Networks {
    fn changes(&self) -> PathBuf {
        self.run().join("changes")
    }

    /// Notes that a container's networks are about to change. The caller holds the container's lock.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn begin_change(&self, container: &str) -> Result<()> {
        disk::note(&self.changes().join(container), "begun").map(drop)
    }

    /// Notes that all of the change is on disk.
    ///
    /// # Errors
    /// Where the note can't be removed.
    pub fn end_change(&self, container: &str) -> Result<()> {
        disk::remove(&self.changes().join(container))
    }

    /// Whether a change of a container's networks was begun and not ended.
    ///
    /// # Errors
    /// Where the note can't be read.
    pub fn is_changing(&self, container: &str) -> Result<bool> {
        Ok(disk::noted(&self.changes().join(container))?.is_some())
    }

    /// The containers with a change that was begun and not ended.
    ///
    /// # Errors
    /// Where the notes can't be listed.
    pub fn changing(&self) -> Result<Vec<String>> {
        let mut all = disk::names(&self.changes())?;
        all.retain(|name| name != NETWORKS);
        Ok(all)
    }

    /// Completes a change that nobody will end: what a container is connected with beyond the networks that `wanted`
    /// names is taken back, its default routes and published ports lead where they should. `namespace` is its network
    /// namespace.
    ///
    /// # Errors
    /// Where something can't be taken back or set right.
    pub fn complete_change(
        &self,
        container: &str,
        wanted: &[String],
        namespace: BorrowedFd<'_>,
    ) -> Result<Option<Attachment>> {
        let Some(before) = self.attachment(container)? else { return Ok(None) };
        let (kept, gone): (Vec<_>, Vec<_>) =
            before.endpoints.iter().cloned().partition(|endpoint| wanted.contains(&endpoint.network));
        for endpoint in &gone {
            self.drop_endpoint(&before, endpoint, Some(namespace))?;
        }
        let after = Attachment { endpoints: kept, ..before };
        disk::replace_json(&self.attachment_path(container), &after)?;
        self.release_strays(container, &after)?;
        self.lead_out(&after, namespace)?;
        if !after.ports.is_empty() {
            self.repair_firewall()?;
        }
        Ok(Some(after))
    }

    /// Takes the lock under which networks are made and removed, and notes that one is about to be.
    pub(crate) fn begin_networks(&self) -> Result<Changing> {
        let lock = self.lock()?;
        let note = self.changes().join(NETWORKS);
        if !disk::note(&note, "begun")? {
            self.repair_firewall()?;
        }
        Ok(Changing { note, _lock: lock })
    }

    /// Whether somebody was killed who made or removed a network: then the rules may not know of it. The note is the
    /// caller's to remove, by ending what this gives.
    pub(crate) fn left_networks(&self) -> Result<Option<Changing>> {
        let note = self.changes().join(NETWORKS);
        if disk::noted(&note)?.is_none() {
            return Ok(None);
        }
        Ok(self.try_lock()?.map(|lock| Changing { note, _lock: lock }))
    }
}

/// A network is being made or removed.
pub(crate) struct Changing {
    note: PathBuf,
    _lock: Lock,
}

impl Changing {
    /// All of it is on disk and in the rules.
    pub fn end(self) -> Result<()> {
        disk::remove(&self.note)
    }
}
