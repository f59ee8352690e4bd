//! Id maps of user namespaces; user_namespaces(7), "User and group ID mappings".

use std::fmt;
use std::str::FromStr;

/// The id that stands for "none" in system calls; no map may contain it.
pub const UNMAPPED: u32 = u32::MAX;

/// kernel/user_namespace.c: UID_GID_MAP_MAX_EXTENTS
const MAX_EXTENTS: usize = 340;
/// map_write() wants the whole map in one write below the size of the smallest page.
const MAX_TEXT: usize = 4096 - 1;

/// `count` ids from `inside` are, outside the namespace, those from `outside`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extent {
    /// The first id as the namespace's own processes see it.
    pub inside: u32,
    /// The first id as the parent (or the reader of the map) sees it.
    pub outside: u32,
    /// How many ids.
    pub count: u32,
}

/// The whole map of one kind of id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdMap {
    extents: Vec<Extent>,
}

/// One of the two sides of an extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Side {
    Inside,
    Outside,
}

/// Why the kernel would refuse a map whoever writes it, or why a text is no map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum MapError {
    #[error("\"{}\" is not an id range: expected INSIDE:OUTSIDE:COUNT", .0.escape_debug())]
    Syntax(String),
    #[error("an id map needs at least one range")]
    Empty,
    #[error("{0} ranges: the kernel takes 340 at most")]
    TooMany(usize),
    #[error("the map takes {0} bytes as text: the kernel takes 4095 at most")]
    TooLong(usize),
    #[error("range {0} is empty: its count must be 1 or more")]
    NoIds(Extent),
    #[error("range {0} goes beyond 4294967294, the last id")]
    BeyondLast(Extent),
    #[error("ranges {0} and {1} overlap {side}", side = match .2 { Side::Inside => "inside", Side::Outside => "outside" })]
    Overlap(Extent, Extent, Side),
}

impl Extent {
    fn first(&self, side: Side) -> u64 {
        u64::from(match side {
            Side::Inside => self.inside,
            Side::Outside => self.outside,
        })
    }

    /// One past its last id.
    fn end(&self, side: Side) -> u64 {
        self.first(side) + u64::from(self.count)
    }

    fn translate(&self, id: u32, from: Side, to: Side) -> Option<u32> {
        let position = u64::from(id).checked_sub(self.first(from))?;
        (position < u64::from(self.count)).then(|| u32::try_from(self.first(to) + position).ok())?
    }

    fn overlaps(&self, other: &Self, side: Side) -> bool {
        self.first(side) < other.end(side) && other.first(side) < self.end(side)
    }
}

/// The form of /proc/PID/uid_map without its padding.
impl fmt::Display for Extent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.inside, self.outside, self.count)
    }
}

impl FromStr for Extent {
    type Err = MapError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Option<Vec<u32>> = text.split(':').map(decimal).collect();
        match numbers.as_deref() {
            Some(&[inside, outside, count]) => Ok(Self { inside, outside, count }),
            _ => Err(MapError::Syntax(text.to_owned())),
        }
    }
}

/// A number without sign or space, which `u32::from_str` would take.
fn decimal(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl IdMap {
    /// Takes the extents if the kernel would take them from someone privileged.
    pub fn new(extents: Vec<Extent>) -> Result<Self, MapError> {
        let map = Self { extents };
        map.validate()?;
        Ok(map)
    }

    /// The map of the initial user namespace: every id is itself.
    pub fn identity() -> Self {
        Self { extents: vec![Extent { inside: 0, outside: 0, count: UNMAPPED }] }
    }

    /// Reads the text of /proc/PID/uid_map or gid_map. An empty text is the map of a namespace that has none.
    pub fn parse(text: &str) -> Result<Self, MapError> {
        let extent = |line: &str| match line.split_whitespace().map(decimal).collect::<Option<Vec<_>>>() {
            Some(numbers) if numbers.len() == 3 => {
                Ok(Extent { inside: numbers[0], outside: numbers[1], count: numbers[2] })
            }
            _ => Err(MapError::Syntax(line.to_owned())),
        };
        Ok(Self { extents: text.lines().map(extent).collect::<Result<_, _>>()? })
    }

    /// Its extents, in the order given.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// How many ids it maps.
    pub fn ids(&self) -> u64 {
        self.extents.iter().map(|extent| u64::from(extent.count)).sum()
    }

    /// What an id of the namespace is outside.
    pub fn to_outside(&self, id: u32) -> Option<u32> {
        self.extents.iter().find_map(|extent| extent.translate(id, Side::Inside, Side::Outside))
    }

    /// What an id from outside is in the namespace.
    pub fn to_inside(&self, id: u32) -> Option<u32> {
        self.extents.iter().find_map(|extent| extent.translate(id, Side::Outside, Side::Inside))
    }

    /// This map seen from one level further out: `outer` is the map of the namespace that this one's outside
    /// ids belong to. Ids that `outer` does not map drop out.
    pub fn compose(&self, outer: &Self) -> Self {
        let pieces = self.extents.iter().flat_map(|lower| {
            outer.extents.iter().filter_map(|upper| {
                let start = lower.first(Side::Outside).max(upper.first(Side::Inside));
                let end = lower.end(Side::Outside).min(upper.end(Side::Inside));
                let inside = lower.first(Side::Inside) + (start - lower.first(Side::Outside));
                let outside = upper.first(Side::Outside) + (start - upper.first(Side::Inside));
                let piece = Extent {
                    inside: u32::try_from(inside).ok()?,
                    outside: u32::try_from(outside).ok()?,
                    count: u32::try_from(end.checked_sub(start)?).ok()?,
                };
                (piece.count > 0).then_some(piece)
            })
        });
        Self { extents: pieces.collect() }
    }

    /// The map in the other direction: what is inside becomes what is outside.
    pub fn inverse(&self) -> Self {
        let turned = self.extents.iter().map(|extent| Extent {
            inside: extent.outside,
            outside: extent.inside,
            count: extent.count,
        });
        Self { extents: turned.collect() }
    }

    /// The text that is written to /proc/PID/uid_map, in one piece.
    pub fn render(&self) -> String {
        let line = |extent: &Extent| format!("{} {} {}\n", extent.inside, extent.outside, extent.count);
        self.extents.iter().map(line).collect()
    }

    /// The checks of map_write() in kernel/user_namespace.c that do not depend on who writes.
    fn validate(&self) -> Result<(), MapError> {
        match self.extents.len() {
            0 => return Err(MapError::Empty),
            count if count > MAX_EXTENTS => return Err(MapError::TooMany(count)),
            _ => {}
        }
        for extent in &self.extents {
            if extent.count == 0 {
                return Err(MapError::NoIds(*extent));
            }
            if extent.end(Side::Inside).max(extent.end(Side::Outside)) > u64::from(UNMAPPED) {
                return Err(MapError::BeyondLast(*extent));
            }
        }
        for side in [Side::Inside, Side::Outside] {
            self.reject_overlaps(side)?;
        }
        match self.render().len() {
            length if length > MAX_TEXT => Err(MapError::TooLong(length)),
            _ => Ok(()),
        }
    }

    fn reject_overlaps(&self, side: Side) -> Result<(), MapError> {
        let mut sorted = self.extents.clone();
        sorted.sort_by_key(|extent| extent.first(side));
        match sorted.windows(2).find(|pair| pair[0].overlaps(&pair[1], side)) {
            Some(pair) => Err(MapError::Overlap(pair[0], pair[1], side)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Result<IdMap, MapError> {
        IdMap::new(text.split(' ').map(str::parse).collect::<Result<_, _>>()?)
    }

    #[test]
    fn proc_text_is_read_and_written() {
        let read =
            IdMap::parse("         0     100000       1000\n      1000       1000          1\n").unwrap();
        assert_eq!(read.render(), "0 100000 1000\n1000 1000 1\n");
        assert_eq!(IdMap::parse("").unwrap(), IdMap::default());
        assert!(IdMap::parse("0 1\n").is_err() && IdMap::parse("0 1 -2\n").is_err());
    }

    #[test]
    fn ids_go_both_ways() {
        let map = map("0:100000:1000 1000:1000:1").unwrap();
        assert_eq!(map.to_outside(999), Some(100_999));
        assert_eq!(map.to_outside(1000), Some(1000));
        assert_eq!(map.to_outside(1001), None);
        assert_eq!(map.to_inside(100_001), Some(1));
        assert_eq!(map.to_inside(99_999), None);
        assert_eq!(IdMap::identity().to_outside(UNMAPPED - 1), Some(UNMAPPED - 1));
        assert_eq!(IdMap::identity().to_outside(UNMAPPED), None);
    }

    #[test]
    fn levels_compose_and_split() {
        let inner = map("0:0:10 100:500:10").unwrap();
        let outer = map("0:1000:5 5:9000:1 505:7:100").unwrap();
        assert_eq!(inner.compose(&outer).render(), "0 1000 5\n5 9000 1\n105 7 5\n");
        assert_eq!(inner.compose(&IdMap::identity()), inner);
        assert_eq!(inner.compose(&IdMap::default()), IdMap::default());
        assert_eq!(inner.compose(&outer).compose(&outer.inverse()).render(), "0 0 5\n5 5 1\n105 505 5\n");
    }

    #[test]
    fn what_the_kernel_refuses_is_refused_with_the_range() {
        assert_eq!(IdMap::new(vec![]), Err(MapError::Empty));
        let refusals = [
            ("0:0:0", "range 0:0:0 is empty: its count must be 1 or more"),
            ("4294967295:0:1", "range 4294967295:0:1 goes beyond 4294967294, the last id"),
            ("0:4294967290:6", "range 0:4294967290:6 goes beyond 4294967294, the last id"),
            ("5:100:10 0:0:6", "ranges 0:0:6 and 5:100:10 overlap inside"),
            ("0:0:6 100:5:10", "ranges 0:0:6 and 100:5:10 overlap outside"),
            ("0:0", "\"0:0\" is not an id range: expected INSIDE:OUTSIDE:COUNT"),
            ("+0:0:1", "\"+0:0:1\" is not an id range: expected INSIDE:OUTSIDE:COUNT"),
            (":0:1", "\":0:1\" is not an id range: expected INSIDE:OUTSIDE:COUNT"),
        ];
        for (text, message) in refusals {
            assert_eq!(map(text).unwrap_err().to_string(), message);
        }
        assert!(map("0:4294967290:5").is_ok());
    }

    #[test]
    fn the_kernels_limits_of_size_are_known() {
        let extents =
            |count: u32| (0..count).map(|id| Extent { inside: id, outside: id, count: 1 }).collect();
        assert!(IdMap::new(extents(340)).is_ok());
        assert_eq!(IdMap::new(extents(341)), Err(MapError::TooMany(341)));
        let wide =
            (0..200).map(|id| Extent { inside: 4_000_000_000 + id, outside: 4_000_000_000 + id, count: 1 });
        assert!(matches!(IdMap::new(wide.collect()), Err(MapError::TooLong(4800))));
    }
}
