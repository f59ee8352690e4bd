//! The program's entry, before libc: commands that make containers leave the host's binary here already.
//!
//! Whoever makes containers executes itself again from a read-only mount that is attached nowhere (CVE-2019-5736; the
//! crate `runtime` says why). That costs a start of libc: half a millisecond where `cpuid` traps, as it does in virtual
//! machines, for glibc asks it dozens of times. So what can be decided from the arguments alone is decided before libc
//! starts, and the first of the two executions does nothing else.
//!
//! ```text
//! kernel -> berth_start --(a command that makes containers, from a mount that can be written to)--> execveat, again
//!               '-------(any other)-------> start of libc (start.rs, or its own) -> main
//! ```
//! Nothing depends on it: where a call fails, or on other architectures, `main` does the same with more words.
//!
//! The code below runs without libc: no thread-local storage, and not a single call of memcpy(3) and the like, whose
//! addresses libc fills in only when it starts. So bytes are read one by one, volatile, which keeps the compiler from
//! making such calls of the loops, and nothing is initialised or copied but words.

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use core::arch::{asm, global_asm};
    use core::mem::MaybeUninit;
    use core::ptr::read_volatile;

    /// Commands of the OCI runtime that make a container or enter one.
    static OCI_COMMANDS: [&[u8]; 3] = [b"create", b"run", b"exec"];
    /// Names under which the binary is the OCI runtime.
    static OCI_NAMES: [&[u8]; 3] = [b"berth-oci", b"runc", b"crun"];

    const AT_FDCWD: isize = -100;
    const AT_EMPTY_PATH: isize = 0x1000;
    const OPEN_TREE_CLONE: isize = 1;
    const O_CLOEXEC: isize = 0o2_000_000;
    const ST_RDONLY: u64 = 1;
    /// `struct mount_attr`: set MOUNT_ATTR_RDONLY.
    static READ_ONLY: [u64; 4] = [1, 0, 0, 0];
    static SELF: [u8; 15] = *b"/proc/self/exe\0";
    static EMPTY: [u8; 1] = [0];

    // At entry rsp points at argc, argv and the environment (System V ABI, AMD64 supplement, 3.4.1); all of it, and rdx,
    // is libc's when it is its turn.
    global_asm!(
        ".globl berth_start",
        ".type berth_start, @function",
        "berth_start:",
        "mov rbx, rsp",
        "mov r12, rdx",
        "mov rdi, rsp",
        "and rsp, -16",
        "call {before_libc}",
        "mov rsp, rbx",
        "mov rdx, r12",
        "xor ebp, ebp",
        "jmp {libc}",
        ".size berth_start, . - berth_start",
        before_libc = sym before_libc,
        libc = sym start_libc,
    );

    #[cfg(not(own_start))]
    unsafe extern "C" {
        #[link_name = "_start"]
        fn start_libc();
    }

    /// In place of `_start`: the same block of the kernel's becomes an argument, and the stack is aligned for a call.
    #[cfg(own_start)]
    #[unsafe(naked)]
    extern "C" fn start_libc() {
        core::arch::naked_asm!(
            "mov rdi, rsp",
            "and rsp, -16",
            "call {relocate}",
            "ud2",
            relocate = sym crate::start::relocate,
        )
    }

    type Arguments = *const *const u8;

    /// Executes the program again where that is due. Returns in all other cases.
    unsafe extern "C" fn before_libc(stack: *const usize) {
        // SAFETY: `stack` is what the kernel laid out: argc, argc pointers, null, the environment's pointers, null.
        unsafe {
            let count = read_volatile(stack);
            let arguments: Arguments = stack.add(1).cast();
            if makes_containers(arguments, count) {
                leave(arguments, arguments.add(count + 1));
            }
        }
    }

    /// Whether the arguments are of a command that makes a container or enters one. To be mistaken costs one execution.
    unsafe fn makes_containers(arguments: Arguments, count: usize) -> bool {
        // SAFETY: there are `count` arguments, each a string that ends with NUL.
        unsafe {
            if count < 2 {
                return false;
            }
            let name = file_name(read_volatile(arguments));
            let first = read_volatile(arguments.add(1));
            let mut is_oci = equal(first, b"oci");
            let mut i = 0;
            while i < OCI_NAMES.len() {
                is_oci |= equal(name, OCI_NAMES[i]);
                i += 1;
            }
            if !is_oci {
                return equal(first, b"exec")
                    || (count > 2
                        && equal(first, b"container")
                        && equal(read_volatile(arguments.add(2)), b"exec"));
            }
            let mut at = 1;
            while at < count {
                let argument = read_volatile(arguments.add(at));
                let mut i = 0;
                while i < OCI_COMMANDS.len() {
                    if equal(argument, OCI_COMMANDS[i]) {
                        return true;
                    }
                    i += 1;
                }
                at += 1;
            }
            false
        }
    }

    /// What follows the last slash.
    unsafe fn file_name(path: *const u8) -> *const u8 {
        // SAFETY: read up to the NUL that ends the string.
        unsafe {
            let (mut name, mut at) = (path, path);
            loop {
                let byte = read_volatile(at);
                if byte == 0 {
                    return name;
                }
                at = at.add(1);
                if byte == b'/' {
                    name = at;
                }
            }
        }
    }

    unsafe fn equal(string: *const u8, word: &[u8]) -> bool {
        // SAFETY: a byte is read only where none before it was the string's NUL, for no word has one.
        unsafe {
            let mut i = 0;
            while i < word.len() {
                if read_volatile(string.add(i)) != word[i] {
                    return false;
                }
                i += 1;
            }
            read_volatile(string.add(i)) == 0
        }
    }

    /// Returns where the program is out of reach already, or can't be brought there by a mount.
    unsafe fn leave(arguments: Arguments, environment: Arguments) {
        let path = SELF.as_ptr() as isize;
        let empty = EMPTY.as_ptr() as isize;
        // `struct statfs`: 15 words, of which `f_flags` is the 11th.
        let mut about = MaybeUninit::<[u64; 15]>::uninit();
        let flags = about.as_ptr().cast::<u64>();
        // SAFETY: all pointers are to objects that live until the call returns, of the size that the kernel expects.
        unsafe {
            if call(libc::SYS_statfs, path, about.as_mut_ptr() as isize, 0, 0, 0) != 0
                || read_volatile(flags.add(10)) & ST_RDONLY != 0
            {
                return;
            }
            let tree = call(libc::SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | O_CLOEXEC, 0, 0);
            if tree < 0 {
                return;
            }
            let attributes = READ_ONLY.as_ptr() as isize;
            if call(libc::SYS_mount_setattr, tree, empty, AT_EMPTY_PATH, attributes, 32) == 0 {
                call(
                    libc::SYS_execveat,
                    tree,
                    empty,
                    arguments as isize,
                    environment as isize,
                    AT_EMPTY_PATH,
                );
            }
            call(libc::SYS_close, tree, 0, 0, 0, 0);
        }
    }

    unsafe fn call(number: libc::c_long, a: isize, b: isize, c: isize, d: isize, e: isize) -> isize {
        let result;
        // SAFETY: the caller answers for the arguments; the kernel clobbers rcx and r11 alone.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") number as isize => result,
                in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
                lateout("rcx") _, lateout("r11") _,
                options(nostack),
            );
        }
        result
    }
}
