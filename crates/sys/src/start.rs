//! The start of libc, in place of its own.
//!
//! A start of glibc asks `cpuid` some fifty times which of its string functions suit this CPU best. In a virtual machine
//! each answer is a trap to the hypervisor: 1 to 13 µs, up to 0.7 ms of a command that itself needs 0.2 ms. This start
//! does all that glibc's does (`csu/libc-start.c`, static case, in the same order) but that: with no features known,
//! glibc's resolvers choose the functions that every x86-64 has. It follows `entry.rs`; programs without that entry,
//! tests for one, start as ever.
//!
//! It calls functions that are glibc's own, so it exists only where the build script finds the version that it was
//! written for, and only in a static program at a fixed address. Everywhere else glibc starts the program.
//!
//! ```text
//! berth_start -> relocate: choose string functions -> aux vector, tunables, thread-local storage,
//!                stack and pointer guard, early and first initialisation -> constructors -> main -> exit
//! ```

use std::ffi::{c_char, c_int, c_long, c_void};

/// An `IRELATIVE` relocation: where the address belongs that the resolver at `addend` gives.
#[repr(C)]
struct Relocation {
    place: *mut usize,
    info: u64,
    resolver: extern "C" fn() -> usize,
}

type Constructor = extern "C" fn(c_int, *const *const c_char, *const *const c_char);

unsafe extern "C" {
    static __rela_iplt_start: [Relocation; 0];
    static __rela_iplt_end: [Relocation; 0];
    static __preinit_array_start: [Constructor; 0];
    static __preinit_array_end: [Constructor; 0];
    static __init_array_start: [Constructor; 0];
    static __init_array_end: [Constructor; 0];
    static mut __environ: *const *const c_char;
    static mut __libc_stack_end: *const c_void;
    static mut __libc_enable_secure: c_int;
    static mut __x86_shared_non_temporal_threshold: c_long;
    static mut __x86_rep_movsb_stop_threshold: c_long;
    static _dl_random: *const [usize; 2];
    fn _dl_aux_init(auxv: *const c_void);
    fn __tunables_init(environment: *const *const c_char);
    fn __libc_setup_tls();
    fn __libc_early_init(initial: bool);
    fn __libc_init_first(argc: c_int, argv: *const *const c_char, environment: *const *const c_char);
    fn __libc_check_standard_fds();
    fn _init();
    fn exit(code: c_int) -> !;
    fn main(argc: c_int, argv: *const *const c_char, environment: *const *const c_char) -> c_int;
}

/// From where `memcpy` goes around the cache: three quarters of a megabyte, glibc's own value for a shared cache of one.
const LARGE: c_long = 0xc_0000;

/// First of all: the compiler may make a call of `memcpy` out of anything, and its address is one of these.
pub(crate) extern "C" fn relocate(stack: *const usize) -> ! {
    // SAFETY: the linker puts the table there, a resolver takes nothing and reads only glibc's still empty notes on the
    // CPU, and no thread but this one exists.
    unsafe {
        let (mut next, end) = (__rela_iplt_start.as_ptr(), __rela_iplt_end.as_ptr());
        while next < end {
            *(*next).place = ((*next).resolver)();
            next = next.add(1);
        }
        begin(stack)
    }
}

/// # Safety
/// `stack` is what the kernel passed, and nothing else has been called before but [`relocate`].
#[inline(never)]
unsafe fn begin(stack: *const usize) -> ! {
    // SAFETY: glibc's own order of glibc's own functions, each called once; the kernel's block is laid out as the ABI
    // says and lives as long as the process.
    unsafe {
        let argc = *stack as c_int;
        let argv = stack.add(1).cast::<*const c_char>();
        let environment = argv.add(*stack + 1);
        let mut end = environment;
        while !(*end).is_null() {
            end = end.add(1);
        }
        __environ = environment;
        __libc_stack_end = stack.cast();
        _dl_aux_init(end.add(1).cast());
        __tunables_init(environment);
        __x86_shared_non_temporal_threshold = LARGE;
        __x86_rep_movsb_stop_threshold = LARGE;
        __libc_setup_tls();
        let [stack_guard, pointer_guard] = _dl_random.read_unaligned();
        // The lowest byte of the stack guard is zero, which stops copies of strings.
        core::arch::asm!("mov fs:[0x28], {}", in(reg) stack_guard & !0xff);
        core::arch::asm!("mov fs:[0x30], {}", in(reg) pointer_guard);
        __libc_early_init(true);
        __libc_init_first(argc, argv, environment);
        if __libc_enable_secure != 0 {
            __libc_check_standard_fds();
        }
        let construct = |mut next: *const Constructor, end: *const Constructor| {
            while next < end {
                (*next)(argc, argv, environment);
                next = next.add(1);
            }
        };
        construct(__preinit_array_start.as_ptr(), __preinit_array_end.as_ptr());
        _init();
        construct(__init_array_start.as_ptr(), __init_array_end.as_ptr());
        exit(main(argc, argv, environment))
    }
}
