//! System calls without libc, for programs that are nothing but code: crate `hello` compiles this file as a part of its
//! freestanding program. Only `core` is used here, so that it can.

use core::arch::asm;
use core::ffi::CStr;

#[cfg(target_arch = "x86_64")]
mod number {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const IOCTL: usize = 16;
    pub const SOCKET: usize = 41;
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
    pub const SOCKET: usize = 198;
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
        core::arch::global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {start}", start = sym start);
        #[cfg(target_arch = "aarch64")]
        core::arch::global_asm!(".globl _start", "_start:", "bl {start}", start = sym start);
        #[cfg(target_arch = "riscv64")]
        core::arch::global_asm!(".globl _start", "_start:", "call {start}", start = sym start);

        extern "C" fn start() -> ! {
            bare::exit($main())
        }

        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            bare::write_all(2, b"hello: a mistake in the program\n");
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
