//! Removing containers, and changing what they are.

use std::time::Duration;

use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::filters::Filters;
use crate::id;
use crate::list::ListQuery;
use crate::record;
use crate::state::Status;

/// How a container is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// A running one is killed first.
    pub force: bool,
    /// Volumes that were made for it alone go along.
    pub volumes: bool,
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ids.
    pub removed: Vec<String>,
    /// Bytes that were freed.
    pub bytes: u64,
}

impl Engine {
    /// Removes a container.
    ///
    /// # Errors
    /// Where it runs and `force` is not given, or something can't be removed: then it is dead, and can be tried again.
    pub fn remove(&self, container: &Container, options: RemoveOptions) -> Result<()> {
        loop {
            let (lock, state) = self.lock(container)?;
            if !state.status.is_active() {
                self.remove_locked(&lock, &container.id, options.volumes)?;
                break;
            }
            if !options.force {
                let (name, status) = (container.name.clone(), state.status.as_str());
                return Err(Error::RemoveRunning { name, status });
            }
            // Its monitor needs the lock.
            drop(lock);
            match self.end(container, 9, Some(Duration::ZERO)) {
                // With --rm it may be gone by now.
                Err(Error::NoSuchContainer(_)) => return Ok(()),
                ended => drop(ended?),
            }
            if self.state_of(&container.id)?.is_none() {
                return Ok(());
            }
        }
        self.events().emit(&[container.event("destroy", [])]);
        Ok(())
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// Where the name is taken, or none.
    pub fn rename(&self, container: &Container, name: &str) -> Result<()> {
        let name = id::check_name(name)?;
        let (lock, mut state) = self.lock(container)?;
        let Some(mut record) = lock.container()? else {
            return Err(Error::NoSuchContainer(container.name.clone()));
        };
        let old = record.name.clone();
        if old == name {
            let same = "Renaming a container with the same name as its current name";
            return Err(Error::Invalid(same.to_owned()));
        }
        if let Some(holder) = self.take_name(name, &record.id)? {
            return Err(Error::NameInUse { name: name.to_owned(), id: holder });
        }
        name.clone_into(&mut record.name);
        name.clone_into(&mut state.row.name);
        lock.write_container(&record)?;
        lock.write_state(&state)?;
        record::drop_name(&self.paths().names(), &old, &record.id)?;
        self.events().emit(&[record.event("rename", [("oldName", format!("/{old}"))])]);
        Ok(())
    }

    /// Removes all containers that do not run and that `filters` (`label`, `until`) let through.
    ///
    /// # Errors
    /// Where records can't be read. One that has been started or removed meanwhile is passed over.
    pub fn prune(&self, filters: &Filters, until: Option<i64>) -> Result<Pruned> {
        filters.only(&["label", "label!", "until"])?;
        self.repair()?;
        let mut pruned = Pruned::default();
        for summary in self.list(&ListQuery { all: true, ..ListQuery::default() })? {
            let stopped = matches!(summary.state.status, Status::Created | Status::Exited | Status::Dead);
            let row = &summary.state.row;
            let old =
                until.is_none_or(|until| crate::clock::parse(&row.created).is_some_and(|made| made < until));
            if !stopped || !old || !filters.labels(&row.labels) {
                continue;
            }
            let bytes = self.size_of(&summary.id, &summary.state).map_or(0, |(own, _)| own);
            let Ok(container) = self.find(&summary.id) else { continue };
            match self.remove(&container, RemoveOptions::default()) {
                Ok(()) => {
                    pruned.removed.push(summary.id);
                    pruned.bytes += bytes;
                }
                Err(Error::RemoveRunning { .. } | Error::NoSuchContainer(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(pruned)
    }
}
