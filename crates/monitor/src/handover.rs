//! The monitor executes itself again, and goes on where it was.
//!
//! Starting a container dirties memory that an idle monitor has no use for (specifications, filters, plans); a fresh
//! image of the same program has a fraction of it. The payload stays a child across exec(2), signals stay blocked, and
//! what happens in between waits: an ended child as a zombie, bytes in pipes, clients in the socket's backlog.
//!
//! Descriptors are passed by number, and named in a document in a memfd, whose number is the last argument:
//! `berth-monitor … --handover=N`. Everything else is closed by exec, as all descriptors here are born CLOEXEC.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use runtime::failure::OrFail;
use runtime::{Failure, Result};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::FdFlags;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const ARGUMENT: &str = "--handover=";

#[derive(Serialize, Deserialize)]
struct Document {
    fds: BTreeMap<String, RawFd>,
    monitor: Value,
    charge: Value,
}

/// What a monitor left for itself.
#[derive(Debug)]
pub struct Handover {
    fds: BTreeMap<String, OwnedFd>,
    pub(crate) monitor: Value,
    charge: Value,
}

impl Handover {
    /// What the arguments of this process say was handed over; none where they say nothing of it.
    ///
    /// To be called once, before anything else opens a descriptor.
    ///
    /// # Errors
    /// Where a descriptor is missing, or the document can't be read.
    pub fn receive(args: &[OsString]) -> Result<Option<Self>> {
        let number = args.last().and_then(|last| last.to_str()?.strip_prefix(ARGUMENT));
        let Some(number) = number else { return Ok(None) };
        let unusable = |cause: String| Failure::because("take over from", "the monitor", cause);
        let number = number.parse().map_err(|_| unusable(format!("{number:?} is no descriptor")))?;
        let mut memfd = File::from(adopt(number)?);
        let mut text = Vec::new();
        memfd.rewind().and_then(|()| memfd.read_to_end(&mut text)).or_fail("read", "the handover")?;
        let document: Document =
            serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
        let adopted = document.fds.into_iter().map(|(name, number)| Ok((name, adopt(number)?)));
        let fds = adopted.collect::<Result<BTreeMap<_, _>>>()?;
        Ok(Some(Self { fds, monitor: document.monitor, charge: document.charge }))
    }

    /// Takes a descriptor by its name.
    pub fn take_fd(&mut self, name: &str) -> Option<OwnedFd> {
        self.fds.remove(name)
    }

    /// What the charge left as state.
    pub fn charge(&self) -> &Value {
        &self.charge
    }
}

fn adopt(number: RawFd) -> Result<OwnedFd> {
    let fd = sys::process::adopt_inherited(number).or_fail("inherit", format!("descriptor {number}"))?;
    rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC).or_fail("close on exec", "a descriptor")?;
    Ok(fd)
}

/// Executes this program again with `args` and what is handed over. Returns only if it failed: nothing has changed then.
pub(crate) fn execute(
    args: &[OsString],
    fds: &[(&str, BorrowedFd<'_>)],
    monitor: Value,
    charge: Value,
) -> Failure {
    let passed = fds.iter().map(|(name, fd)| ((*name).to_owned(), fd.as_raw_fd())).collect();
    let document = Document { fds: passed, monitor, charge };
    let prepared = || -> Result<(OwnedFd, File, Vec<CString>)> {
        let own = rustix::fs::open("/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .or_fail("open", "own binary")?;
        let memfd = rustix::fs::memfd_create("handover", MemfdFlags::CLOEXEC).or_fail("make", "a memfd")?;
        let mut memfd = File::from(memfd);
        let text =
            serde_json::to_vec(&document).map_err(std::io::Error::from).or_fail("write", "handover")?;
        memfd.write_all(&text).or_fail("write", "the handover")?;
        let mut args: Vec<OsString> = args.to_vec();
        args.push(format!("{ARGUMENT}{}", memfd.as_raw_fd()).into());
        let args = args.into_iter().map(|arg| CString::new(arg.into_vec()));
        let args = args.collect::<std::result::Result<_, _>>().map_err(std::io::Error::from);
        Ok((own, memfd, args.or_fail("pass", "arguments with NUL")?))
    };
    let (own, memfd, args) = match prepared() {
        Ok(prepared) => prepared,
        Err(failure) => return failure,
    };
    let inherited = || fds.iter().map(|(_, fd)| *fd).chain([memfd.as_fd()]);
    let flags = |flags| {
        for fd in inherited() {
            // These are open, and F_SETFD fails for no other reason.
            let _ = rustix::io::fcntl_setfd(fd, flags);
        }
    };
    flags(FdFlags::empty());
    let error = sys::process::exec_fd(own.as_fd(), &args, &environment());
    flags(FdFlags::CLOEXEC);
    Failure::new("exec", "the own binary", error)
}

fn environment() -> Vec<CString> {
    let join = |(name, value): (OsString, OsString)| {
        let parts: [&[u8]; 3] = [name.as_bytes(), OsStr::new("=").as_bytes(), value.as_bytes()];
        // What the kernel passed holds no NUL.
        CString::new(parts.concat()).ok()
    };
    std::env::vars_os().filter_map(join).collect()
}
