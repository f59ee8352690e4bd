//! Any text as a reference: what is read means the same when it is written in full or as Docker shows it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::Reference;

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string().parse::<Reference>().as_ref(), Ok(&reference));
        assert_eq!(reference.familiar().parse::<Reference>().as_ref(), Ok(&reference));
        assert!(!reference.path().split('/').any(|component| component.is_empty() || component == ".."));
    }
});
