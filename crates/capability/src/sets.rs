//! The five sets of a thread, read from the kernel.

use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Pid;
use rustix::thread;

use crate::{CapSet, Capability};

/// The five capability sets of a thread; capabilities(7), "Thread capability sets".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    /// What permission checks look at.
    pub effective: CapSet,
    /// What may be made effective.
    pub permitted: CapSet,
    /// What a file with the same inheritable capability passes on through exec.
    pub inheritable: CapSet,
    /// What exec can give at most.
    pub bounding: CapSet,
    /// What survives the exec of an ordinary file without being root.
    pub ambient: CapSet,
}

/// Why the sets of a process could not be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ReadError {
    #[error("read capabilities from {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("read capabilities from {}: no valid field {field}", path.display())]
    Field { path: PathBuf, field: &'static str },
    #[error("read capabilities of the calling thread: {0}")]
    Own(#[source] io::Error),
}

impl Sets {
    /// The sets of a process's first thread, from /proc/PID/status.
    pub fn of_process(pid: Pid) -> Result<Self, ReadError> {
        Self::from_status_file(Path::new(&format!("/proc/{pid}/status")))
    }

    /// The sets of one thread of a process.
    pub fn of_thread(pid: Pid, tid: Pid) -> Result<Self, ReadError> {
        Self::from_status_file(Path::new(&format!("/proc/{pid}/task/{tid}/status")))
    }

    /// The sets of the calling thread, by system calls alone: works without /proc.
    pub fn of_self() -> Result<Self, ReadError> {
        let own = thread::capabilities(None).map_err(|errno| ReadError::Own(errno.into()))?;
        let probe = |holds: fn(u64) -> rustix::io::Result<bool>| {
            let known = (0..64).map_while(|bit| holds(1 << bit).ok().map(|held| u64::from(held) << bit));
            CapSet::from_bits(known.fold(0, |mask, bit| mask | bit))
        };
        Ok(Self {
            effective: CapSet::from_bits(own.effective.bits()),
            permitted: CapSet::from_bits(own.permitted.bits()),
            inheritable: CapSet::from_bits(own.inheritable.bits()),
            bounding: probe(|bit| thread::capability_is_in_bounding_set(kernel_set(bit))),
            ambient: probe(|bit| thread::capability_is_in_ambient_set(kernel_set(bit))),
        })
    }

    /// Reads a file in the format of /proc/PID/status.
    pub fn from_status_file(path: &Path) -> Result<Self, ReadError> {
        let text =
            std::fs::read(path).map_err(|source| ReadError::Unreadable { path: path.to_owned(), source })?;
        Self::from_status(&text).map_err(|field| ReadError::Field { path: path.to_owned(), field })
    }

    /// Reads the text of a /proc/PID/status; the error is the name of the field that is missing or no mask.
    pub fn from_status(text: &[u8]) -> Result<Self, &'static str> {
        let field = |name: &'static str| {
            text.split(|&byte| byte == b'\n')
                .filter_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))
                .find_map(|mask| CapSet::from_hex(std::str::from_utf8(mask).ok()?.trim()).ok())
                .ok_or(name)
        };
        Ok(Self {
            effective: field("CapEff")?,
            permitted: field("CapPrm")?,
            inheritable: field("CapInh")?,
            bounding: field("CapBnd")?,
            // Linux before 4.3 has no ambient set.
            ambient: field("CapAmb").unwrap_or_default(),
        })
    }

    /// Whether all five are empty.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The capabilities that the running kernel knows, whether this program has names for them or not.
pub fn supported() -> CapSet {
    let known = (0..64).filter_map(Capability::from_number).take_while(|&capability| {
        thread::capability_is_in_bounding_set(kernel_set(1 << capability.number())).is_ok()
    });
    known.collect()
}

pub(crate) fn kernel_set(mask: u64) -> thread::CapabilitySet {
    thread::CapabilitySet::from_bits_retain(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tCapEff:\t1\nCapInh:\t0000000000000000\nCapPrm:\t000001fffeffffff\n\
        CapEff:\t000001fffeffffff\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000001\n";

    #[test]
    fn status_is_read_by_field() {
        let sets = Sets::from_status(STATUS.as_bytes()).unwrap();
        assert_eq!(sets.permitted.bits(), 0x1ff_feff_ffff);
        assert_eq!(sets.bounding, CapSet::all());
        assert_eq!(sets.ambient, Capability::CHOWN.into());
    }

    #[test]
    fn a_missing_or_broken_field_is_named() {
        assert_eq!(Sets::from_status(b"CapInh:\t0\n"), Err("CapEff"));
        assert_eq!(Sets::from_status(STATUS.replace("CapPrm:\t0", "CapPrm:\tx").as_bytes()), Err("CapPrm"));
    }

    #[test]
    fn an_old_kernel_has_no_ambient_set() {
        let sets = Sets::from_status(STATUS.replace("CapAmb", "Cap").as_bytes()).unwrap();
        assert!(sets.ambient.is_empty());
    }

    #[test]
    fn system_calls_and_proc_agree() {
        let from_proc = Sets::from_status_file(Path::new("/proc/thread-self/status")).unwrap();
        assert_eq!(Sets::of_self().unwrap(), from_proc);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error_with_its_path() {
        let error = Sets::of_process(Pid::from_raw(i32::MAX).unwrap()).unwrap_err();
        assert!(error.to_string().contains("/proc/2147483647/status"), "{error}");
    }

    #[test]
    fn the_kernel_knows_an_unbroken_range_of_capabilities() {
        let last: u8 =
            std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap().trim().parse().unwrap();
        assert_eq!(supported().bits(), (1 << (last + 1)) - 1);
    }
}
