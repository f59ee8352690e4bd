//! Any bytes as PAX records: no panic, and no more memory than the records take.
#![no_main]

use libfuzzer_sys::fuzz_target;
use snapshot::tar::{Pax, Records};

fuzz_target!(|records: &[u8]| {
    let read: usize =
        Records::new(records).filter_map(Result::ok).map(|(key, value)| key.len() + value.len()).sum();
    assert!(read <= records.len());
    if let Ok(pax) = Pax::parse(records) {
        let xattrs: usize = pax.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(xattrs <= records.len());
    }
});
