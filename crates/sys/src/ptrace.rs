//! Stopping a process to look at it; ptrace(2).

use std::io;
use std::ptr;

use rustix::process::Pid;

use crate::check;

/// include/uapi/linux/ptrace.h
const PTRACE_SECCOMP_GET_FILTER: libc::c_uint = 0x420c;

/// A process that stands still until this is dropped.
#[derive(Debug)]
pub struct Stopped(Pid);

impl Stopped {
    /// Stops the first thread of a process, without any signal that it or its parent could see.
    ///
    /// # Errors
    /// Those of ptrace(2); `ESRCH` where the process ends meanwhile.
    pub fn new(pid: Pid) -> io::Result<Self> {
        let (number, null) = (pid.as_raw_pid(), ptr::null_mut::<libc::c_void>());
        // SAFETY: PTRACE_SEIZE without options reads and writes no memory of ours.
        check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, number, null, null) })?;
        let stopped = Self(pid);
        // SAFETY: as above.
        check(unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, number, null, null) })?;
        let mut status = 0;
        // SAFETY: `status` is valid for the call.
        check(unsafe { libc::waitpid(number, &raw mut status, libc::__WALL) }.into())?;
        if libc::WIFSTOPPED(status) { Ok(stopped) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
    }

    /// One of its seccomp filters as the kernel keeps it, the latest first; none beyond the last. The caller must
    /// be under no filter himself.
    ///
    /// # Errors
    /// `EACCES` without CAP_SYS_ADMIN, `EIO` on a kernel without checkpoint and restore, `EMEDIUMTYPE` for a
    /// filter that is no classic BPF.
    pub fn seccomp_filter(&self, index: usize) -> io::Result<Option<Vec<u8>>> {
        let pid = self.0.as_raw_pid();
        // SAFETY: with a null buffer the kernel only answers with the number of instructions.
        let count = unsafe {
            libc::ptrace(PTRACE_SECCOMP_GET_FILTER, pid, index, ptr::null_mut::<libc::sock_filter>())
        };
        match check(count) {
            Ok(count) => self.copy_filter(index, count as usize).map(Some),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn copy_filter(&self, index: usize, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count * size_of::<libc::sock_filter>()];
        // SAFETY: the kernel writes `count` instructions, which a filter never changes, into a buffer of that size;
        // it copies bytes, for which no alignment is needed.
        check(unsafe {
            libc::ptrace(PTRACE_SECCOMP_GET_FILTER, self.0.as_raw_pid(), index, bytes.as_mut_ptr())
        })?;
        Ok(bytes)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let null = ptr::null_mut::<libc::c_void>();
        // SAFETY: PTRACE_DETACH reads and writes no memory of ours. A process that is gone needs no detaching.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0.as_raw_pid(), null, null) };
    }
}
