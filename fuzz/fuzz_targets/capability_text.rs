//! Any text as libcap's notation: what is read means the same when it is written and read again. Any bytes as the
//! attribute of a file.
#![no_main]

use capability::{CapSet, FileCapabilities, State};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let all = CapSet::all();
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(state) = State::parse(text, all)
    {
        assert_eq!(State::parse(&state.to_text(all), all), Ok(state), "{text:?}");
    }
    if let Ok(file) = FileCapabilities::decode(bytes) {
        assert_eq!(FileCapabilities::decode(&file.encode()), Ok(file));
    }
});
