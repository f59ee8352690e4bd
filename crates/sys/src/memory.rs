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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_holds_what_is_written() {
        let mut pages = Pages::new(100_000).unwrap();
        assert!(pages.iter().all(|byte| *byte == 0));
        pages[99_999] = 7;
        assert_eq!((pages.len(), pages[99_999]), (100_000, 7));
        assert_eq!(Pages::new(0).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}
