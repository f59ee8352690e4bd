//! Any bytes as the attributes of a netlink message: what comes out lies within them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use namespace::netlink::{attributes, number, text};

fuzz_target!(|bytes: &[u8]| {
    for header in [0, 4, 16] {
        let mut read = 0;
        for (_, value) in attributes(bytes, header) {
            read += value.len();
            let _ = (number(value), text(value));
            // Attributes nest.
            read += attributes(value, 0)
                .map(|(_, inner)| inner.len())
                .filter(|inner| *inner > value.len())
                .count();
        }
        assert!(read <= bytes.len());
    }
});
