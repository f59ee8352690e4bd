//! System calls without libc, for programs that are nothing but code: crate `hello` compiles this file as a part of its
//! freestanding program. Only `core` is used here, so that it can.

use core::arch::asm;
use core::ffi::CStr;

#[cfg(target_arch = "x86_64")]
mod number {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const IOCTL: usize = 16;
    pub const GETPID: usize = 39;
    pub const SOCKET: usize = 41;
    pub const CLONE: usize = 56;
    pub const EXECVE: usize = 59;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const SETPGID: usize = 109;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const EXIT_GROUP: usize = 231;
    pub const OPENAT: usize = 257;
    pub const READLINKAT: usize = 267;
}

// The generic table, which aarch64 and riscv64 share.
#[cfg(not(target_arch = "x86_64"))]
mod number {
    pub const IOCTL: usize = 29;
    pub const OPENAT: usize = 56;
    pub const CLOSE: usize = 57;
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const READLINKAT: usize = 78;
    pub const EXIT_GROUP: usize = 94;
    pub const KILL: usize = 129;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const SETPGID: usize = 154;
    pub const GETPID: usize = 172;
    pub const SOCKET: usize = 198;
    pub const CLONE: usize = 220;
    pub const EXECVE: usize = 221;
    pub const WAIT4: usize = 260;
}

const AT_FDCWD: usize = -100isize as usize;
const O_CLOEXEC: usize = 0o2000000;
const AF_INET: usize = 2;
const SOCK_DGRAM: usize = 2;
const SOCK_CLOEXEC: usize = O_CLOEXEC;
const SIOCGIFCONF: usize = 0x8912;
const SIOCGIFNETMASK: usize = 0x891b;

/// A system call of up to four arguments; a negative result is an errno.
///
/// # Safety
/// Pointers among the arguments must be valid for what the kernel does with them.
#[inline]
unsafe fn call(number: usize, arguments: [usize; 4]) -> isize {
    let result: isize;
    let [a, b, c, d] = arguments;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel keeps all registers but rax, rcx and r11; the caller answers for pointers.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the kernel keeps all registers but x0; the caller answers for pointers.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d,
            options(nostack));
    }
    #[cfg(target_arch = "riscv64")]
    // SAFETY: the kernel keeps all registers but a0; the caller answers for pointers.
    unsafe {
        asm!("ecall", in("a7") number, inlateout("a0") a => result, in("a1") b, in("a2") c, in("a3") d,
            options(nostack));
    }
    result
}

/// Ends the process.
pub fn exit(status: u8) -> ! {
    loop {
        // SAFETY: no pointers; it does not return.
        unsafe { call(number::EXIT_GROUP, [status.into(), 0, 0, 0]) };
    }
}

/// Writes all of `bytes`, as far as somebody takes them.
pub fn write_all(fd: usize, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the pointer is valid for reading that many bytes.
        let written = unsafe { call(number::WRITE, [fd, bytes.as_ptr() as usize, bytes.len(), 0]) };
        match usize::try_from(written) {
            Ok(written) if written > 0 => bytes = bytes.get(written..).unwrap_or_default(),
            _ => return,
        }
    }
}

/// The start of a file, as much as `buffer` takes; none if it can't be read.
pub fn read_file<'b>(path: &CStr, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    // SAFETY: the path ends with a NUL.
    let fd = unsafe { call(number::OPENAT, [AT_FDCWD, path.as_ptr() as usize, O_CLOEXEC, 0]) };
    let fd = usize::try_from(fd).ok()?;
    let mut length = 0;
    let mut end = None;
    while end.is_none() && length < buffer.len() {
        let rest = &mut buffer[length..];
        // SAFETY: the pointer is valid for writing that many bytes.
        let read = unsafe { call(number::READ, [fd, rest.as_mut_ptr() as usize, rest.len(), 0]) };
        match usize::try_from(read) {
            Ok(0) => end = Some(true),
            Ok(read) => length += read,
            Err(_) => end = Some(false),
        }
    }
    // SAFETY: no pointers.
    unsafe { call(number::CLOSE, [fd, 0, 0, 0]) };
    (end != Some(false)).then(|| &buffer[..length])
}

/// What a symbolic link holds.
pub fn read_link<'b>(path: &CStr, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let arguments = [AT_FDCWD, path.as_ptr() as usize, buffer.as_mut_ptr() as usize, buffer.len()];
    // SAFETY: the path ends with a NUL, and the buffer is valid for writing its length.
    let length = unsafe { call(number::READLINKAT, arguments) };
    buffer.get(..usize::try_from(length).ok()?)
}

/// What the kernel gave the program: its arguments and its environment (System V ABI: argc, the arguments' pointers, null,
/// the environment's pointers, null).
#[derive(Clone, Copy)]
pub struct Arguments(*const usize);

impl Arguments {
    /// # Safety
    /// `stack` must be the stack pointer as it was at the program's entry.
    pub unsafe fn new(stack: *const usize) -> Arguments {
        Arguments(stack)
    }

    fn count(self) -> usize {
        // SAFETY: argc, by the promise of `new`.
        unsafe { self.0.read() }
    }

    /// An argument; the first is the program's name.
    pub fn get(self, at: usize) -> Option<&'static CStr> {
        // SAFETY: there are `count` pointers to strings that live as long as the program.
        (at < self.count())
            .then(|| unsafe { CStr::from_ptr(self.0.add(1 + at).cast::<*const core::ffi::c_char>().read()) })
    }

    /// The value of a variable.
    pub fn variable(self, name: &[u8]) -> Option<&'static [u8]> {
        // SAFETY: the environment's pointers follow those of the arguments and a null.
        let mut at = unsafe { self.0.add(self.count() + 2) }.cast::<*const core::ffi::c_char>();
        loop {
            // SAFETY: read up to the null that ends them.
            let pointer = unsafe { at.read() };
            if pointer.is_null() {
                return None;
            }
            // SAFETY: each points to a string that lives as long as the program.
            let text = unsafe { CStr::from_ptr(pointer) }.to_bytes();
            if let Some(value) = text.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"=")) {
                return Some(value);
            }
            // SAFETY: the null was not reached.
            at = unsafe { at.add(1) };
        }
    }

    /// Executes `path` with the arguments from number `first` on; gives the errno, for it returns only where it failed.
    pub fn execute(self, path: &CStr, first: usize) -> i32 {
        // SAFETY: both lists end with null, and hold strings that live as long as the program.
        let failed = unsafe {
            let (arguments, environment) = (self.0.add(1 + first), self.0.add(self.count() + 2));
            call(number::EXECVE, [path.as_ptr() as usize, arguments as usize, environment as usize, 0])
        };
        -(failed as i32)
    }
}

const SIG_BLOCK: usize = 0;
const SIG_UNBLOCK: usize = 1;
const SIGCHLD: usize = 17;
const WNOHANG: usize = 1;
const TIOCSPGRP: usize = 0x5410;
static ALL: u64 = !0;

/// Holds all signals back, or no more.
pub fn hold_signals(hold: bool) {
    let how = if hold { SIG_BLOCK } else { SIG_UNBLOCK };
    // SAFETY: `ALL` is a set of eight bytes.
    unsafe { call(number::RT_SIGPROCMASK, [how, &raw const ALL as usize, 0, size_of::<u64>()]) };
}

/// Waits for a signal that is held back, and takes it; 0 where the waiting was interrupted.
pub fn wait_signal() -> i32 {
    // SAFETY: `ALL` is a set of eight bytes; nothing is wanted of the signal but its number, and no time is set.
    unsafe { call(number::RT_SIGTIMEDWAIT, [&raw const ALL as usize, 0, 0, size_of::<u64>()]) }.max(0) as i32
}

/// A copy of this process: 0 in the copy, its id here, negative where there is none.
pub fn fork() -> isize {
    // SAFETY: without CLONE_VM and with no stack given the copy goes on in its own memory.
    unsafe { call(number::CLONE, [SIGCHLD, 0, 0, 0]) }
}

/// A process group of one's own, in the foreground of the terminal where stdin is one. SIGTTOU must be held back.
pub fn lead_group() {
    // SAFETY: no pointers but one to an int.
    unsafe {
        call(number::SETPGID, [0, 0, 0, 0]);
        // Who leads a group has its number.
        let own = call(number::GETPID, [0, 0, 0, 0]) as i32;
        call(number::IOCTL, [0, TIOCSPGRP, &raw const own as usize, 0]);
    }
}

/// A child that has ended, with its status as wait(2) gives it; none where no more has.
pub fn reap() -> Option<(isize, i32)> {
    let mut status: i32 = 0;
    // SAFETY: the pointer is to an int.
    let pid = unsafe { call(number::WAIT4, [usize::MAX, &raw mut status as usize, WNOHANG, 0]) };
    (pid > 0).then_some((pid, status))
}

/// Sends a signal; one that has ended needs none.
pub fn kill(pid: isize, signal: i32) {
    // SAFETY: no pointers.
    unsafe { call(number::KILL, [pid as usize, signal as usize, 0, 0]) };
}

/// `struct ifreq` with an address (linux/if.h).
#[repr(C)]
#[derive(Clone, Copy)]
struct InterfaceRequest {
    name: [u8; 16],
    family: u16,
    port: u16,
    address: [u8; 4],
    rest: [u8; 16],
}

const NO_REQUEST: InterfaceRequest =
    InterfaceRequest { name: [0; 16], family: 0, port: 0, address: [0; 4], rest: [0; 16] };

/// `struct ifconf` (linux/if.h).
#[repr(C)]
struct InterfaceList {
    length: i32,
    requests: *mut InterfaceRequest,
}

/// The IPv4 addresses of this network namespace: interface, address and mask.
pub fn addresses(visit: &mut dyn FnMut(&str, [u8; 4], u32)) {
    // SAFETY: no pointers.
    let socket = unsafe { call(number::SOCKET, [AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0, 0]) };
    let Ok(socket) = usize::try_from(socket) else { return };
    let mut requests = [NO_REQUEST; 64];
    let mut list = InterfaceList { length: size_of_val(&requests) as i32, requests: requests.as_mut_ptr() };
    // SAFETY: `list` describes `requests`, which outlives the call.
    let got = unsafe { call(number::IOCTL, [socket, SIOCGIFCONF, &raw mut list as usize, 0]) };
    let count = if got < 0 { 0 } else { list.length as usize / size_of::<InterfaceRequest>() };
    for request in requests.iter().take(count) {
        let mut mask = *request;
        // SAFETY: the request is valid for reading and writing.
        let got = unsafe { call(number::IOCTL, [socket, SIOCGIFNETMASK, &raw mut mask as usize, 0]) };
        let end = request.name.iter().position(|&byte| byte == 0).unwrap_or(request.name.len());
        let name = core::str::from_utf8(&request.name[..end]).unwrap_or("?");
        visit(name, request.address, if got < 0 { u32::MAX } else { u32::from_ne_bytes(mask.address) });
    }
    // SAFETY: no pointers.
    unsafe { call(number::CLOSE, [socket, 0, 0, 0]) };
}

/// Makes a program of `fn() -> u8`: where the kernel enters, what happens at a panic, and the four functions that the
/// compiler calls for copying. The crate must be `no_std`, `no_main` and `no_builtins`: else the compiler would find
/// copying in the copying functions, and call them.
#[macro_export]
macro_rules! freestanding {
    ($main:path) => {
        #[cfg(target_arch = "x86_64")]
        core::arch::global_asm!(".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {start}", start = sym start);
        #[cfg(target_arch = "aarch64")]
        core::arch::global_asm!(".globl _start", "_start:", "mov x0, sp", "bl {start}", start = sym start);
        #[cfg(target_arch = "riscv64")]
        core::arch::global_asm!(".globl _start", "_start:", "mv a0, sp", "call {start}", start = sym start);

        extern "C" fn start(stack: *const usize) -> ! {
            // SAFETY: it is what the entry found.
            bare::exit($main(unsafe { bare::Arguments::new(stack) }))
        }

        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            bare::write_all(2, b"a mistake in the program\n");
            bare::exit(101)
        }

        /// What `core` names as its unwinder; nothing here unwinds.
        #[unsafe(no_mangle)]
        extern "C" fn rust_eh_personality() {}

        /// memcpy(3).
        ///
        /// # Safety
        /// As in C.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
            for at in 0..count {
                // SAFETY: the caller answers for both ranges.
                unsafe { to.add(at).write(from.add(at).read()) };
            }
            to
        }

        /// memmove(3).
        ///
        /// # Safety
        /// As in C.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
            if (to as usize) <= from as usize {
                // SAFETY: forwards, nothing is overwritten before it is read.
                return unsafe { memcpy(to, from, count) };
            }
            for at in (0..count).rev() {
                // SAFETY: backwards likewise; the caller answers for both ranges.
                unsafe { to.add(at).write(from.add(at).read()) };
            }
            to
        }

        /// memset(3).
        ///
        /// # Safety
        /// As in C.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
            for at in 0..count {
                // SAFETY: the caller answers for the range.
                unsafe { to.add(at).write(byte as u8) };
            }
            to
        }

        /// memcmp(3), and bcmp(3) by the same.
        ///
        /// # Safety
        /// As in C.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
            for at in 0..count {
                // SAFETY: the caller answers for both ranges.
                let (a, b) = unsafe { (a.add(at).read(), b.add(at).read()) };
                if a != b {
                    return i32::from(a) - i32::from(b);
                }
            }
            0
        }

        /// strlen(3), which `core` calls for C strings.
        ///
        /// # Safety
        /// As in C.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn strlen(text: *const u8) -> usize {
            let mut length = 0;
            // SAFETY: the caller answers for all up to the NUL.
            while unsafe { text.add(length).read() } != 0 {
                length += 1;
            }
            length
        }

        /// bcmp(3).
        ///
        /// # Safety
        /// As in C.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
            // SAFETY: the caller answers for both ranges.
            unsafe { memcmp(a, b, count) }
        }
    };
}
