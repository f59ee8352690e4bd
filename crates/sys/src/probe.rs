//! Asking the kernel whether it would serve a call at all: each is made with null pointers and zeros, so that whoever may
//! make it hears of the arguments, and nothing changes. For tests of what confines a program.

use std::io;

use crate::check;

/// A system call that a container has no business with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// acct(2)
    Accounting,
    /// bpf(2)
    Bpf,
    /// delete_module(2)
    DeleteModule,
    /// finit_module(2)
    InitModule,
    /// io_uring_setup(2)
    IoUring,
    /// kexec_load(2)
    Kexec,
    /// keyctl(2)
    Keys,
    /// open_by_handle_at(2)
    OpenByHandle,
    /// perf_event_open(2)
    PerfEvents,
    /// quotactl(2)
    Quota,
    /// reboot(2)
    Reboot,
    /// swapon(2)
    Swap,
    /// syslog(2), reading the kernel's log
    KernelLog,
    /// userfaultfd(2)
    UserFault,
}

impl Probe {
    const fn number(self) -> libc::c_long {
        match self {
            Self::Accounting => libc::SYS_acct,
            Self::Bpf => libc::SYS_bpf,
            Self::DeleteModule => libc::SYS_delete_module,
            Self::InitModule => libc::SYS_finit_module,
            Self::IoUring => libc::SYS_io_uring_setup,
            Self::Kexec => libc::SYS_kexec_load,
            Self::Keys => libc::SYS_keyctl,
            Self::OpenByHandle => libc::SYS_open_by_handle_at,
            Self::PerfEvents => libc::SYS_perf_event_open,
            Self::Quota => libc::SYS_quotactl,
            Self::Reboot => libc::SYS_reboot,
            Self::Swap => libc::SYS_swapon,
            Self::KernelLog => libc::SYS_syslog,
            Self::UserFault => libc::SYS_userfaultfd,
        }
    }
}

/// Makes the call: an error of any kind but `EPERM`, `EACCES` and `ENOSYS` comes from its arguments.
///
/// # Errors
/// What the kernel says.
pub fn call(probe: Probe) -> io::Result<()> {
    const READ_ALL: libc::c_long = 3;
    // Not 0 where 0 is a harmless thing that anybody may do, or would change something.
    let (first, second) = match probe {
        Probe::KernelLog => (READ_ALL, 0),
        Probe::Kexec => (0, libc::c_long::MAX),
        Probe::InitModule => (-1, 0),
        Probe::UserFault => (-1, 0),
        _ => (0, 0),
    };
    let (null, number) = (std::ptr::null::<libc::c_void>(), probe.number());
    // SAFETY: all pointers are null and all lengths 0, so the kernel touches no memory of ours; without valid arguments
    // none of these calls does anything.
    check(unsafe { libc::syscall(number, first, second, null, null, null) }).map(drop)
}
