//! The freestanding program: `report` over the kernel's own answers.
#![no_std]
#![no_main]
#![no_builtins]

#[macro_use]
#[path = "../../sys/src/bare.rs"]
mod bare;
mod report;

use core::ffi::CStr;

use report::{Address, System};

freestanding!(main);

/// The kernel that runs this.
struct Kernel;

impl System for Kernel {
    fn read<'b>(&self, path: &CStr, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        bare::read_file(path, buffer)
    }

    fn link<'b>(&self, path: &CStr, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        bare::read_link(path, buffer)
    }

    fn addresses(&self, visit: &mut dyn FnMut(Address<'_>)) {
        bare::addresses(&mut |interface, address, mask| {
            visit(Address { interface, address, prefix: mask.count_ones() })
        })
    }
}

/// Collects what is printed, so that it is written at once.
struct Output {
    text: [u8; 16 << 10],
    length: usize,
}

impl Output {
    fn flush(&mut self) {
        bare::write_all(1, &self.text[..self.length]);
        self.length = 0;
    }
}

impl core::fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for &byte in text.as_bytes() {
            if self.length == self.text.len() {
                self.flush();
            }
            self.text[self.length] = byte;
            self.length += 1;
        }
        Ok(())
    }
}

fn main(_: bare::Arguments) -> u8 {
    let mut output = Output { text: [0; 16 << 10], length: 0 };
    let told = report::report(&Kernel, &mut output);
    output.flush();
    told.is_err().into()
}
