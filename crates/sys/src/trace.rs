//! Following processes from system call to system call, and letting calls fail; ptrace(2). Nothing is traced that
//! nobody asked for.
//!
//! ```text
//! seize(pid) ──► wait() ──► Stop::Call      go_on(pid, Until::Call, 0)      to its next entry or exit
//!                      ├──► Stop::Born      the child stops by itself as Stop::Attached
//!                      ├──► Stop::Executed
//!                      ├──► Stop::Signal(n) go_on(pid, …, n) delivers it
//!                      ├──► Stop::Group     listen(pid): it stays stopped, as it was told to
//!                      └──► Stop::Ended
//! ```

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;

use rustix::process::Pid;

use crate::check;

/// What was heard of a process, which stands still since then (unless it ended).
#[derive(Debug, Clone, Copy)]
pub enum Stop {
    /// At a system call's entry or exit: [`call`] tells which.
    Call,
    /// It made a process or thread, which is traced too.
    Born(Pid),
    /// It executed a program.
    Executed,
    /// A signal is about to be delivered.
    Signal(i32),
    /// It was stopped by a signal together with its threads.
    Group,
    /// It is traced from now on, or was interrupted.
    Attached,
    /// It is gone.
    Ended(ExitStatus),
}

/// A system call at its entry or exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// About to be made.
    Entry {
        /// `AUDIT_ARCH_…` of the ABI.
        architecture: u32,
        /// Its number.
        number: u64,
        /// Its arguments.
        arguments: [u64; 6],
    },
    /// Made.
    Exit {
        /// What it returned.
        result: i64,
    },
}

/// How far a process goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// To the next entry or exit of a system call.
    Call,
    /// To the next event of another kind.
    Event,
}

const OPTIONS: libc::c_int = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC;

/// What becomes of those who are traced when the tracing thread ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bond {
    /// They are killed.
    Kill,
    /// They go on, and nobody looks.
    LetGo,
}

/// include/uapi/linux/ptrace.h
const PTRACE_EVENT_STOP: i32 = 128;

/// A request of ptrace(2) whose address and data are numbers.
fn request(request: libc::c_uint, pid: Pid, address: usize, data: usize) -> io::Result<libc::c_long> {
    let (address, data) = (
        ptr::without_provenance_mut::<libc::c_void>(address),
        ptr::without_provenance_mut::<libc::c_void>(data),
    );
    // SAFETY: the callers below pass only requests that take numbers, or no argument: no memory of ours is touched.
    check(unsafe { libc::ptrace(request, pid.as_raw_pid(), address, data) })
}

/// Traces a process and what it will start. Follow it with [`interrupt`] where it should stop at once.
///
/// # Errors
/// Those of ptrace(2).
pub fn seize(pid: Pid, bond: Bond) -> io::Result<()> {
    let options = if bond == Bond::Kill { OPTIONS | libc::PTRACE_O_EXITKILL } else { OPTIONS };
    request(libc::PTRACE_SEIZE, pid, 0, options as usize).map(drop)
}

/// Stops a process that is traced: it is heard of as [`Stop::Attached`].
///
/// # Errors
/// Those of ptrace(2).
pub fn interrupt(pid: Pid) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, pid, 0, 0).map(drop)
}

/// Lets a process go on, with `signal` (0 for none) delivered to it.
///
/// # Errors
/// Those of ptrace(2); `ESRCH` where it was killed meanwhile.
pub fn go_on(pid: Pid, until: Until, signal: i32) -> io::Result<()> {
    let kind = if until == Until::Call { libc::PTRACE_SYSCALL } else { libc::PTRACE_CONT };
    request(kind, pid, 0, signal.unsigned_abs() as usize).map(drop)
}

/// Leaves a process stopped that a signal stopped, until SIGCONT.
///
/// # Errors
/// Those of ptrace(2).
pub fn listen(pid: Pid) -> io::Result<()> {
    request(libc::PTRACE_LISTEN, pid, 0, 0).map(drop)
}

/// Traces a process no longer, and lets it go on.
///
/// # Errors
/// Those of ptrace(2).
pub fn detach(pid: Pid) -> io::Result<()> {
    detach_with(pid, 0)
}

/// The same, with `signal` delivered to it.
///
/// # Errors
/// Those of ptrace(2).
pub fn detach_with(pid: Pid, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_DETACH, pid, 0, signal.unsigned_abs() as usize).map(drop)
}

/// What there is to hear of any process that the caller's thread traces or is the parent of, without waiting.
///
/// # Errors
/// `ECHILD` where there is no such process.
pub fn wait() -> io::Result<Option<(Pid, Stop)>> {
    heard(libc::WNOHANG)
}

/// The next that is heard of any such process, waited for.
///
/// # Errors
/// As [`wait`].
pub fn wait_for_news() -> io::Result<(Pid, Stop)> {
    loop {
        match heard(0) {
            Ok(Some(heard)) => return Ok(heard),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn heard(flags: libc::c_int) -> io::Result<Option<(Pid, Stop)>> {
    let mut raw = 0;
    // SAFETY: `raw` is valid for the call.
    let pid =
        check(unsafe { libc::waitpid(-1, &raw mut raw, libc::__WALL | libc::__WNOTHREAD | flags) }.into())?;
    let Some(pid) = Pid::from_raw(pid as i32) else { return Ok(None) };
    match stop(pid, raw) {
        // It was killed between the two: of that we hear next.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        stop => Ok(Some((pid, stop?))),
    }
}

fn stop(pid: Pid, raw: i32) -> io::Result<Stop> {
    let status = ExitStatus::from_raw(raw);
    if !libc::WIFSTOPPED(raw) {
        return Ok(Stop::Ended(status));
    }
    let (signal, event) = (libc::WSTOPSIG(raw), raw >> 16);
    Ok(match event {
        libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
            match Pid::from_raw(event_message(pid)? as i32) {
                Some(child) => Stop::Born(child),
                // The child has no number in our pid namespace.
                None => Stop::Attached,
            }
        }
        libc::PTRACE_EVENT_EXEC => Stop::Executed,
        PTRACE_EVENT_STOP if signal == libc::SIGTRAP => Stop::Attached,
        PTRACE_EVENT_STOP => Stop::Group,
        _ if signal == libc::SIGTRAP | 0x80 => Stop::Call,
        _ => Stop::Signal(signal),
    })
}

fn event_message(pid: Pid) -> io::Result<u64> {
    let mut message: libc::c_ulong = 0;
    let null = ptr::null_mut::<libc::c_void>();
    // SAFETY: the kernel writes one unsigned long to `message`.
    check(unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, pid.as_raw_pid(), null, &raw mut message) })?;
    Ok(message)
}

/// The system call at whose entry or exit a process stands.
///
/// # Errors
/// Those of ptrace(2), and `EINVAL` where it stands elsewhere.
pub fn call(pid: Pid) -> io::Result<Call> {
    // SAFETY: all-zero is a valid value of this structure of numbers.
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let size = size_of_val(&info);
    // SAFETY: the kernel writes at most `size` bytes to `info`.
    check(unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid.as_raw_pid(), size, &raw mut info) })?;
    // SAFETY: `op` says which member of the union the kernel filled; both are numbers in any case.
    unsafe {
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                let entry = info.u.entry;
                Ok(Call::Entry { architecture: info.arch, number: entry.nr, arguments: entry.args })
            }
            libc::PTRACE_SYSCALL_INFO_EXIT => Ok(Call::Exit { result: info.u.exit.sval }),
            _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
    }
}

/// At a call's entry: it is not made.
///
/// # Errors
/// Those of ptrace(2), and `Unsupported` on other machines than x86-64.
pub fn skip_call(pid: Pid) -> io::Result<()> {
    change(pid, Change::Number(u64::MAX))
}

/// At a call's exit: it returns `result`, a negative errno where it is to fail.
///
/// # Errors
/// As [`skip_call`].
pub fn set_result(pid: Pid, result: i64) -> io::Result<()> {
    change(pid, Change::Result(result.cast_unsigned()))
}

enum Change {
    Number(u64),
    Result(u64),
}

#[cfg(target_arch = "x86_64")]
fn change(pid: Pid, change: Change) -> io::Result<()> {
    // SAFETY: all-zero is a valid value of this structure of numbers.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    let (pid, null) = (pid.as_raw_pid(), ptr::null_mut::<libc::c_void>());
    // SAFETY: the kernel writes one `user_regs_struct`.
    check(unsafe { libc::ptrace(libc::PTRACE_GETREGS, pid, null, &raw mut registers) })?;
    match change {
        Change::Number(number) => registers.orig_rax = number,
        Change::Result(result) => registers.rax = result,
    }
    // SAFETY: the kernel reads one `user_regs_struct`.
    check(unsafe { libc::ptrace(libc::PTRACE_SETREGS, pid, null, &raw mut registers) }).map(drop)
}

#[cfg(not(target_arch = "x86_64"))]
fn change(_: Pid, change: Change) -> io::Result<()> {
    let (Change::Number(_) | Change::Result(_)) = change;
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// The next stop of anybody, waited for.
    fn next() -> (Pid, Stop) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(heard) = wait().unwrap() {
                return heard;
            }
            assert!(Instant::now() < deadline, "nothing is heard of the traced process");
            std::thread::yield_now();
        }
    }

    #[test]
    #[expect(clippy::zombie_processes, reason = "who traces hears of the end, and that is what reaps")]
    fn a_call_is_seen_and_fails_as_it_is_told_to() {
        // The test harness has threads: only a program of its own may fork, and `sh` does.
        let (reader, writer) = std::io::pipe().unwrap();
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read line; mkdir /proc/nowhere"])
            .stdin(reader)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        seize(pid, Bond::Kill).unwrap();
        interrupt(pid).unwrap();
        drop(writer);
        let (mut failed, mut entered) = (0, std::collections::HashSet::new());
        let status = loop {
            let (who, what) = next();
            let mut signal = 0;
            match what {
                Stop::Call => match call(who).unwrap() {
                    Call::Entry { number, .. }
                        if number == libc::SYS_mkdir as u64 || number == libc::SYS_mkdirat as u64 =>
                    {
                        skip_call(who).unwrap();
                        entered.insert(who);
                    }
                    Call::Exit { .. } if entered.remove(&who) => {
                        set_result(who, -i64::from(libc::ENOSPC)).unwrap();
                        failed += 1;
                    }
                    _ => {}
                },
                Stop::Signal(number) => signal = number,
                Stop::Ended(status) if who == pid => break status,
                Stop::Ended(_) => continue,
                _ => {}
            }
            go_on(who, Until::Call, signal).unwrap();
        };
        assert_eq!(failed, 1);
        assert_eq!(status.code(), Some(1));
        let mut text = String::new();
        std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut text).unwrap();
        assert!(text.contains("No space left on device"), "{text}");
    }
}
