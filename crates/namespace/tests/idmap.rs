//! What holds for all id maps.

use namespace::{Extent, IdMap};
use proptest::prelude::*;

/// Extents that the kernel would take: neighbours with gaps, so that they never overlap.
fn valid() -> impl Strategy<Value = IdMap> {
    prop::collection::vec((1..50u32, 1..50u32, 1..50u32), 1..8).prop_map(|steps| {
        let (mut inside, mut outside) = (0, 0);
        let extent = |(skip_inside, skip_outside, count)| {
            let extent = Extent { inside: inside + skip_inside, outside: outside + skip_outside, count };
            (inside, outside) = (extent.inside + count, extent.outside + count);
            extent
        };
        IdMap::new(steps.into_iter().map(extent).collect()).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn composing_is_translating_twice(inner in valid(), outer in valid(), id in 0..500u32) {
        let twice = inner.to_outside(id).and_then(|id| outer.to_outside(id));
        prop_assert_eq!(inner.compose(&outer).to_outside(id), twice);
    }

    #[test]
    fn what_goes_out_comes_back(map in valid(), id in 0..500u32) {
        if let Some(outside) = map.to_outside(id) {
            prop_assert_eq!(map.to_inside(outside), Some(id));
            prop_assert_eq!(map.inverse().to_outside(outside), Some(id));
        }
        prop_assert_eq!(IdMap::parse(&map.render()), Ok(map));
    }

    #[test]
    fn no_text_is_too_strange(text in "([0-9]{1,10} {1,3}){0,4}[0-9a-z-]{0,10}\n?", more in "\\PC*") {
        for text in [text, more] {
            if let Ok(map) = IdMap::parse(&text) {
                let composed = map.compose(&IdMap::identity()).compose(&map).inverse();
                let _ = (composed.to_inside(0), composed.to_outside(u32::MAX), IdMap::new(map.extents().to_vec()));
            }
        }
    }

    #[test]
    fn no_extents_are_too_large(numbers in prop::collection::vec(any::<(u32, u32, u32)>(), 0..5)) {
        let lines = numbers.iter().map(|(inside, outside, count)| format!("{inside} {outside} {count}\n"));
        let map = IdMap::parse(&lines.collect::<String>()).unwrap();
        let _ = (map.compose(&map.inverse()), map.to_outside(u32::MAX), map.ids());
    }
}
