//! A set of capabilities as one 64-bit mask.

use std::fmt;
use std::ops::{BitAnd, BitOr, Not, Sub};

use crate::Capability;

/// A set of capabilities: bit N is capability N, as in the kernel's `kernel_cap_t`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CapSet(u64);

/// A text that is not a hexadecimal mask of at most 64 bits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is not a capability mask: expected up to 16 hexadecimal digits", .0.escape_debug())]
pub struct InvalidMask(pub String);

impl CapSet {
    /// No capability.
    pub const EMPTY: Self = Self(0);

    /// The set whose bits are those of `mask`.
    pub const fn from_bits(mask: u64) -> Self {
        Self(mask)
    }

    /// The mask.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Every capability that has a name.
    pub fn all() -> Self {
        Capability::ALL.iter().copied().collect()
    }

    /// Whether there is none in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether `capability` is in it.
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability.number()) != 0
    }

    /// Puts `capability` in.
    pub fn insert(&mut self, capability: Capability) {
        self.0 |= 1 << capability.number();
    }

    /// Takes `capability` out.
    pub fn remove(&mut self, capability: Capability) {
        self.0 &= !(1 << capability.number());
    }

    /// Its members, by number.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        (0..64).filter_map(Capability::from_number).filter(move |&capability| self.contains(capability))
    }

    /// Reads a mask as /proc/PID/status writes it; a leading `0x` is allowed.
    pub fn from_hex(text: &str) -> Result<Self, InvalidMask> {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        // from_str_radix takes a sign, a mask has none.
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidMask(text.to_owned()));
        }
        u64::from_str_radix(digits, 16).map(Self).map_err(|_| InvalidMask(text.to_owned()))
    }

    /// The capabilities named, and the names that nobody knows, for a warning.
    pub fn from_names<'names, Name: AsRef<str> + ?Sized + 'names>(
        names: impl IntoIterator<Item = &'names Name>,
    ) -> (Self, Vec<&'names str>) {
        let (mut set, mut unknown) = (Self::EMPTY, Vec::new());
        for name in names {
            match name.as_ref().parse() {
                Ok(capability) => set.insert(capability),
                Err(_) => unknown.push(name.as_ref()),
            }
        }
        (set, unknown)
    }
}

impl BitOr for CapSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for CapSet {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for CapSet {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl Not for CapSet {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl FromIterator<Capability> for CapSet {
    fn from_iter<Members: IntoIterator<Item = Capability>>(members: Members) -> Self {
        let mut set = Self::EMPTY;
        members.into_iter().for_each(|capability| set.insert(capability));
        set
    }
}

impl From<Capability> for CapSet {
    fn from(capability: Capability) -> Self {
        Self(1 << capability.number())
    }
}

/// Sixteen hexadecimal digits, as in /proc/PID/status.
impl fmt::LowerHex for CapSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// Names in small letters with commas between, as libcap writes them.
impl fmt::Display for CapSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> =
            self.iter().map(|capability| capability.to_string().to_lowercase()).collect();
        formatter.pad(&names.join(","))
    }
}

impl fmt::Debug for CapSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CapSet({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_goes_both_ways() {
        let set = CapSet::from_hex("000001fffeffffff").unwrap();
        assert_eq!(set.len(), 40);
        assert!(!set.contains(Capability::SYS_RESOURCE));
        assert_eq!(format!("{set:x}"), "000001fffeffffff");
        assert_eq!(CapSet::from_hex("0x3"), Ok(CapSet::from_bits(3)));
    }

    #[test]
    fn bad_masks_are_refused() {
        for text in ["", "0x", "+1", "-1", "12345678123456781", "g", "1 ", "ä"] {
            assert_eq!(CapSet::from_hex(text), Err(InvalidMask(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn unknown_names_are_listed() {
        let (set, unknown) = CapSet::from_names(["CAP_KILL", "CAP_NONE", "chown", ""]);
        assert_eq!(set.to_string(), "cap_chown,cap_kill");
        assert_eq!(unknown, ["CAP_NONE", ""]);
    }

    #[test]
    fn members_without_a_name_show_their_number() {
        assert_eq!(CapSet::from_bits(1 << 41 | 1 << 63 | 1).to_string(), "cap_chown,41,63");
    }
}
