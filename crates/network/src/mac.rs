//! Hardware addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The hardware address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mac(pub [u8; 6]);

/// A text that is no hardware address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid MAC address: {0:?} (as 02:42:ac:11:00:02)")]
pub struct InvalidMac(pub String);

impl Mac {
    /// A random one, of those that are administered locally and belong to one station.
    ///
    /// # Errors
    /// Those of getrandom(2).
    pub(crate) fn random() -> Result<Self, rustix::io::Errno> {
        let mut bytes = [0; 6];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        bytes[0] = bytes[0] & 0xfc | 0x02;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl FromStr for Mac {
    type Err = InvalidMac;

    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let invalid = || InvalidMac(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part =
                parts.next().filter(|part| part.len() == 2 && !part.starts_with('+')).ok_or_else(invalid)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        // The lowest bit of the first byte marks a group's address, which no interface may have.
        (parts.next().is_none() && bytes[0] & 1 == 0).then_some(Self(bytes)).ok_or_else(invalid)
    }
}

impl TryFrom<String> for Mac {
    type Error = InvalidMac;

    fn try_from(text: String) -> Result<Self, InvalidMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_read_and_written() {
        assert_eq!("02:42:AC-11:00:02".parse::<Mac>().unwrap().to_string(), "02:42:ac:11:00:02");
        for text in [
            "",
            "02:42",
            "02:42:ac:11:00:2",
            "02:42:ac:11:00:02:03",
            "03:42:ac:11:00:02",
            "+2:42:ac:11:00:02",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(InvalidMac(text.into())), "{text}");
        }
        assert_eq!(Mac::random().unwrap().0[0] & 3, 2);
    }
}
