//! Memory outside of the heap.

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A buffer of whole pages that the kernel has back at once when it is dropped, whatever the allocator would do.
/// Pages that were never written cost nothing.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    length: usize,
}

impl Pages {
    /// A buffer of zeros.
    ///
    /// # Errors
    /// Those of mmap(2); `EINVAL` for no bytes.
    pub fn new(length: usize) -> io::Result<Self> {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, length })
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `length` bytes are mapped readable, zeroed by the kernel, until drop; `&self` excludes writers.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` excludes other readers.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped, and nothing borrows from it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

// The linker's own names for the first byte of the program and the one after its code.
unsafe extern "C" {
    static __executable_start: u8;
    static etext: u8;
}

/// Takes the pages of code and constants that were touched so far off this process' account. A fault maps 16 pages of
/// the page cache at once, so that code which runs only at the start weighs megabytes to the end; what is needed again
/// comes back by a fault that reads nothing.
pub fn forget_code() {
    let start = (&raw const __executable_start).map_addr(|address| address & !0xfff);
    let end = (&raw const etext).addr() & !0xfff;
    // SAFETY: the range is the program's own, mapped privately from its file and never written to: relocations lie
    // beyond it. What is dropped comes back from the file as it was. A refusal changes nothing.
    unsafe { libc::madvise(start.cast_mut().cast(), end.saturating_sub(start.addr()), libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of this process' files that are mapped in now.
    fn of_files() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn code_is_forgotten_and_comes_back() {
        let before = of_files();
        forget_code();
        let after = of_files();
        assert!(after < before / 2, "{before} kB, then {after} kB");
    }

    #[test]
    fn a_buffer_holds_what_is_written() {
        let mut pages = Pages::new(100_000).unwrap();
        assert!(pages.iter().all(|byte| *byte == 0));
        pages[99_999] = 7;
        assert_eq!((pages.len(), pages[99_999]), (100_000, 7));
        assert_eq!(Pages::new(0).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}
