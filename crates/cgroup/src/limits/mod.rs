//! From `linux.resources` to writes, and from writes to the kernel.
//!
//! [`v1`] and [`v2`] turn resources into a list of [`Write`]s without touching anything; [`apply`] performs
//! the list. Some files bound each other (memory and memory+swap, quota and period and burst, the two
//! real-time values), so that the right order depends on the values in force. Instead of reading those,
//! a write that the kernel refuses with `EINVAL` is tried again after the others.

mod merge;
pub(crate) mod v1;
pub(crate) mod v2;

use std::borrow::Cow;

use oci::spec::resources::LinuxResources;
use rustix::io::Errno;

pub use merge::merge;

use crate::dir::Dir;
use crate::{Controller, Error};

/// A value on its way to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    controller: Controller,
    /// File and value; the first file that exists is written.
    choices: Vec<(Cow<'static, str>, String)>,
    /// Fine to skip where the kernel has none of the files.
    optional: bool,
}

impl Write {
    fn new(controller: Controller, file: impl Into<Cow<'static, str>>, value: impl ToString) -> Self {
        Self { controller, choices: vec![(file.into(), value.to_string())], optional: false }
    }

    fn or(mut self, file: &'static str, value: impl ToString) -> Self {
        self.choices.push((file.into(), value.to_string()));
        self
    }

    fn optional(self) -> Self {
        self.optional_if(true)
    }

    fn optional_if(mut self, optional: bool) -> Self {
        self.optional = optional;
        self
    }

    fn perform(&self, dirs: &Dirs) -> Result<(), Error> {
        let dir = dirs.of(self.controller)?;
        for (file, value) in &self.choices {
            match dir.write(file, value) {
                // A file that a group lacks gives ENOENT, or EACCES and EPERM to those who may not create it.
                Err(e) if e.is_gone() || (e.is_permission() && !dir.has(file)) => {}
                Err(e) if e.errno() == Some(Errno::BUSY) && file == v1::MEMORY_LIMIT => {
                    return Err(memory_busy(dir, value)?);
                }
                done => return done,
            }
        }
        if self.optional { Ok(()) } else { Err(dirs.unavailable(self.controller, &self.choices[0].0)) }
    }
}

/// The kernel could not reclaim enough: say how far the limit is off.
fn memory_busy(dir: &Dir, limit: &str) -> Result<Error, Error> {
    let read = |file| Ok::<_, Error>(dir.read(file)?.trim().to_owned());
    Ok(Error::MemoryBusy {
        limit: limit.to_owned(),
        usage: read("memory.usage_in_bytes")?,
        peak: read("memory.max_usage_in_bytes")?,
    })
}

/// The open directories of one group.
#[derive(Debug)]
pub(crate) struct Dirs {
    /// v1: those that the host has, each with its controllers.
    pub legacy: Vec<(Vec<Controller>, Dir)>,
    /// v2, which on a hybrid host has no controllers.
    pub unified: Option<Dir>,
}

impl Dirs {
    /// The directory in which `controller` is set.
    pub fn of(&self, controller: Controller) -> Result<&Dir, Error> {
        let legacy = self.legacy.iter().find(|(controllers, _)| controllers.contains(&controller));
        match (legacy, &self.unified) {
            (Some((_, dir)), _) => Ok(dir),
            (None, Some(dir)) if self.legacy.is_empty() => Ok(dir),
            _ => {
                let reason = "no cgroup v1 hierarchy of it is mounted, or none could be made".to_owned();
                Err(Error::Unavailable { controller, reason })
            }
        }
    }

    fn unavailable(&self, controller: Controller, file: &str) -> Error {
        let name = controller.unified_name();
        let enabled = self.unified.as_ref().filter(|_| self.legacy.is_empty());
        let enabled = enabled.and_then(|dir| dir.read("cgroup.controllers").ok());
        let reason = match enabled {
            Some(enabled) if !enabled.split_whitespace().any(|enabled| enabled == name) => {
                format!("controller {name} is not available (available: {})", enabled.trim())
            }
            _ => format!("this kernel has no {file}"),
        };
        Error::Unavailable { controller, reason }
    }
}

/// Performs all writes; the first error that no order avoids ends it.
pub(crate) fn apply(writes: &[Write], dirs: &Dirs) -> Result<(), Error> {
    let mut pending: Vec<&Write> = writes.iter().collect();
    loop {
        let count = pending.len();
        let mut refusal = None;
        let mut refused = Vec::new();
        for write in pending {
            match write.perform(dirs) {
                Err(e) if e.errno() == Some(Errno::INVAL) => {
                    refusal.get_or_insert(e);
                    refused.push(write);
                }
                done => done?,
            }
        }
        match refusal {
            None => return Ok(()),
            Some(error) if refused.len() == count => return Err(error),
            Some(_) => pending = refused,
        }
    }
}

/// Sets all of `resources` but the devices.
pub(crate) fn set(resources: &LinuxResources, dirs: &Dirs) -> Result<(), Error> {
    match &dirs.unified {
        Some(dir) if dirs.legacy.is_empty() => {
            apply(&v2::writes(resources, |file| dir.read(file).ok())?, dirs)?;
            v2::apply_unified(resources, dir)
        }
        _ => apply(&v1::writes(resources)?, dirs),
    }
}

/// Refuses limits below the usage where `memory.checkBeforeUpdate` asks for it, which is for v2.
pub(crate) fn check_usage(resources: &LinuxResources, dirs: &Dirs) -> Result<(), Error> {
    match (&resources.memory, &dirs.unified) {
        (Some(memory), Some(dir)) if dirs.legacy.is_empty() => v2::check_usage(memory, dir),
        _ => Ok(()),
    }
}

/// Checks what can be checked without the host's files: done before anything is changed.
pub(crate) fn check(resources: &LinuxResources, unified: bool) -> Result<(), Error> {
    if !unified && !resources.unified.is_empty() {
        return Err(invalid("unified", "cannot use unified on cgroup v1"));
    }
    crate::devices::Policy::new(&resources.devices)?;
    if unified {
        v2::check_unified(resources)?;
        v2::writes(resources, |_| None).map(drop)
    } else {
        v1::writes(resources).map(drop)
    }
}

pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Error {
    Error::InvalidLimit { field: field.into(), reason: reason.into() }
}

/// 0 means "not set" for most limits: Go's callers send it for what they don't set.
pub(crate) fn nonzero<T: Copy + Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

/// pids.max: 0 becomes 1, as systemd does, which refuses 0.
pub(crate) fn pids_max(limit: i64) -> String {
    match limit {
        ..0 => "max".to_owned(),
        0 => "1".to_owned(),
        limit => limit.to_string(),
    }
}

/// `rdma.max` is the same file in v1 and v2.
fn rdma(resources: &LinuxResources) -> impl Iterator<Item = Write> {
    resources.rdma.iter().map(|(device, limit)| {
        let handles = limit.hca_handles.map(|n| format!(" hca_handle={n}")).unwrap_or_default();
        let objects = limit.hca_objects.map(|n| format!(" hca_object={n}")).unwrap_or_default();
        Write::new(Controller::Rdma, "rdma.max", format!("{device}{handles}{objects}"))
    })
}

/// Huge pages: usage always, reservations where the kernel has that file (since 5.7).
fn hugepages(resources: &LinuxResources, suffix: &'static str) -> impl Iterator<Item = Write> {
    resources.hugepage_limits.iter().flat_map(move |limit| {
        let file = |kind| format!("hugetlb.{}{kind}.{suffix}", limit.page_size);
        [
            Write::new(Controller::Hugetlb, file(""), limit.limit),
            Write::new(Controller::Hugetlb, file(".rsvd"), limit.limit).optional(),
        ]
    })
}

/// The page size becomes part of a file's name.
fn check_page_sizes(resources: &LinuxResources) -> Result<(), Error> {
    for (i, limit) in resources.hugepage_limits.iter().enumerate() {
        let digits = limit.page_size.trim_end_matches("KB").trim_end_matches("MB").trim_end_matches("GB");
        let known = digits.len() + 2 == limit.page_size.len() && digits.parse::<u32>().is_ok();
        if !known {
            let field = format!("hugepageLimits[{i}].pageSize");
            return Err(invalid(field, format!("{:?} is no size like 64KB, 2MB or 1GB", limit.page_size)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use oci::spec::resources::HugepageLimit;

    use super::*;

    #[test]
    fn page_sizes_cannot_name_other_files() {
        let check = |page_size: &str| {
            let limit = HugepageLimit { page_size: page_size.to_owned(), limit: 1 };
            check_page_sizes(&LinuxResources { hugepage_limits: vec![limit], ..Default::default() })
        };
        for good in ["64KB", "2MB", "1GB"] {
            check(good).unwrap();
        }
        for bad in ["", "MB", "2", "../2MB", "2MBMB", "2KBMB", "x\0MB"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
