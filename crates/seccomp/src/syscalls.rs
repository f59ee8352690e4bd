//! Names and numbers of system calls.

use crate::architecture::{Architecture, X32_SYSCALL_BIT};
use crate::catalog::{CALLS, NONE, Row};

/// A call that is one function of socketcall(2) or ipc(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MultiplexedCall {
    /// The number of the multiplexing call.
    pub(crate) number: u32,
    /// Its first argument for this function.
    pub(crate) selector: u32,
}

/// `SYS_…` of linux/net.h: the functions of socketcall(2), from 1.
const SOCKET_FUNCTIONS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// linux/ipc.h: the functions of ipc(2).
const IPC_FUNCTIONS: [(&str, u32); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// The calls that an architecture also reaches through socketcall(2) or ipc(2), by their rows.
pub(crate) fn multiplexed(architecture: Architecture) -> Vec<Option<MultiplexedCall>> {
    let mut calls = vec![None; CALLS.len()];
    if !architecture.multiplexes() {
        return calls;
    }
    let mut enter = |through, function, selector| {
        if let (Some(row), Some(number)) = (find(function), number(architecture, through)) {
            calls[row] = Some(MultiplexedCall { number, selector });
        }
    };
    for (function, selector) in SOCKET_FUNCTIONS.into_iter().zip(1..) {
        enter("socketcall", function, selector);
    }
    for (function, selector) in IPC_FUNCTIONS {
        enter("ipc", function, selector);
    }
    calls
}

/// The index of a call in the catalogue.
pub(crate) fn find(name: &str) -> Option<usize> {
    CALLS.binary_search_by(|row| row.name.cmp(name)).ok()
}

impl Row {
    /// The number as `seccomp_data.nr` shows it.
    pub(crate) fn number(&self, architecture: Architecture) -> Option<u32> {
        match self.numbers[architecture.column()] {
            NONE => None,
            number if architecture == Architecture::X32 => Some(number | X32_SYSCALL_BIT),
            number => Some(number),
        }
    }
}

/// The number of a call on an architecture, as `seccomp_data.nr` shows it (so with x32's bit).
pub fn number(architecture: Architecture, name: &str) -> Option<u32> {
    CALLS[find(name)?].number(architecture)
}

/// The name of a call: what a process was killed for, or what a filter compares with.
pub fn name(architecture: Architecture, number: u32) -> Option<&'static str> {
    CALLS.iter().find(|row| row.number(architecture) == Some(number)).map(|row| row.name)
}

/// The names and numbers of all calls of an architecture, by name.
pub fn all(architecture: Architecture) -> impl Iterator<Item = (&'static str, u32)> {
    CALLS.iter().filter_map(move |row| Some((row.name, row.number(architecture)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_sorted() {
        assert!(CALLS.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn numbers_are_those_of_the_c_library() {
        let known = [
            ("read", libc::SYS_read),
            ("clone3", libc::SYS_clone3),
            ("mseal", libc::SYS_mseal),
            ("io_uring_enter", libc::SYS_io_uring_enter),
            ("fchmodat2", libc::SYS_fchmodat2),
        ];
        for (name, expected) in known {
            assert_eq!(number(Architecture::X86_64, name).map(i64::from), Some(expected), "{name}");
        }
    }

    #[test]
    fn the_newest_calls_are_known() {
        let newest = [
            ("statmount", 457),
            ("listmount", 458),
            ("lsm_list_modules", 461),
            ("mseal", 462),
            ("setxattrat", 463),
            ("open_tree_attr", 467),
            ("file_getattr", 468),
            ("listns", 470),
        ];
        for (name, expected) in newest {
            for architecture in [Architecture::X86_64, Architecture::X86, Architecture::Riscv64] {
                assert_eq!(number(architecture, name), Some(expected), "{name}");
            }
        }
        assert_eq!(number(Architecture::X86_64, "uretprobe"), Some(335));
        assert_eq!(number(Architecture::Aarch64, "uretprobe"), None);
        assert_eq!(number(Architecture::Mips, "mseal"), Some(4462));
    }

    #[test]
    fn x32_numbers_carry_their_bit_and_are_found_by_it() {
        assert_eq!(number(Architecture::X32, "execve"), Some(0x4000_0000 | 520));
        assert_eq!(name(Architecture::X32, 0x4000_0000 | 520), Some("execve"));
        assert_eq!(name(Architecture::X86_64, 59), Some("execve"));
    }

    #[test]
    fn socket_calls_are_also_functions_of_socketcall() {
        let through = |architecture, name| multiplexed(architecture)[find(name).unwrap()];
        let socket = MultiplexedCall { number: 102, selector: 1 };
        assert_eq!(through(Architecture::X86, "socket"), Some(socket));
        let shmget = MultiplexedCall { number: 4117, selector: 23 };
        assert_eq!(through(Architecture::Mips, "shmget"), Some(shmget));
        assert_eq!(through(Architecture::X86, "read"), None);
        assert_eq!(through(Architecture::X86_64, "socket"), None);
    }
}
