//! A config.json is refused, or checked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::validate::{Host, validate};

fuzz_target!(|text: &[u8]| {
    let Ok(spec) = oci::spec::parse(text) else { return };
    for rootless in [false, true] {
        if let Err(error) = validate(&spec, &Host { rootless, ..Host::default() }) {
            assert!(!error.at.is_empty() && !error.problem.is_empty());
        }
    }
});
