//! Any text as /proc/PID/uid_map: what is read is written and read as the same, and ids that go out come back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use namespace::IdMap;

fuzz_target!(|text: &str| {
    let Ok(map) = IdMap::parse(text) else { return };
    assert_eq!(IdMap::parse(&map.render()).as_ref(), Ok(&map));
    for extent in map.extents().iter().filter(|extent| extent.count > 0) {
        let last = extent.inside + (extent.count - 1);
        for id in [extent.inside, last] {
            let outside = map.to_outside(id).expect("an id of an extent has a place outside");
            assert_eq!(map.to_inside(outside), Some(id));
        }
    }
    let _ = map.compose(&map).inverse();
});
