//! Any bytes as a manifest, index or configuration: what is read is written and read as the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::image::{Document, ImageConfig};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(document) = Document::parse(bytes, "") {
        assert!(document.children().count() <= 4097);
    }
    if let Ok(config) = ImageConfig::parse(bytes) {
        let written = serde_json::to_vec(&config).unwrap();
        assert_eq!(ImageConfig::parse(&written).unwrap(), config);
    }
});
