//! Blocks of addresses of either family.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A block of addresses in CIDR notation; its host part is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no block of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct InvalidSubnet(pub String);

impl Subnet {
    /// The block of that length which `address` lies in; `None` for a length that the family does not have.
    #[must_use]
    pub fn around(address: IpAddr, prefix: u8) -> Option<Self> {
        let width = width(address);
        (prefix <= width).then(|| {
            let host = u32::from(width - prefix);
            let number = number(address).checked_shr(host).unwrap_or(0).checked_shl(host).unwrap_or(0);
            Self { address: with_number(address, number), prefix }
        })
    }

    /// Its first address.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The length of its prefix in bits.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether it consists of IPv6 addresses.
    #[must_use]
    pub fn is_ipv6(self) -> bool {
        self.address.is_ipv6()
    }

    /// Its last address.
    #[must_use]
    pub fn last(self) -> IpAddr {
        with_number(self.address, number(self.address) | self.host_mask())
    }

    /// How many addresses it has after the first; as many as fit the type.
    #[must_use]
    pub fn host_mask(self) -> u128 {
        let host = u32::from(width(self.address) - self.prefix);
        u128::MAX.checked_shr(128 - host).unwrap_or(0)
    }

    /// The address that is `offset` behind the first, where it lies in the block.
    #[must_use]
    pub fn nth(self, offset: u128) -> Option<IpAddr> {
        (offset <= self.host_mask()).then(|| with_number(self.address, number(self.address) + offset))
    }

    /// How far behind the first an address of the block is.
    #[must_use]
    pub fn offset(self, address: IpAddr) -> Option<u128> {
        self.contains(address).then(|| number(address) - number(self.address))
    }

    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        Self::around(address, self.prefix).is_some_and(|around| around.address == self.address)
    }

    /// Whether an address lies in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        if self.prefix <= other.prefix { self.contains(other.address) } else { other.contains(self.address) }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => address.into(),
    }
}

/// An address of the same family as `like`.
fn with_number(like: IpAddr, number: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from(number as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from(number).into(),
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

/// Splits `ADDRESS/LENGTH`; the address may have a host part.
pub(crate) fn split(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    Some((address.parse().ok()?, prefix.parse().ok()?))
}

impl FromStr for Subnet {
    type Err = InvalidSubnet;

    /// A host part is cut off, as Docker does it.
    fn from_str(text: &str) -> Result<Self, InvalidSubnet> {
        let split = split(text).and_then(|(address, prefix)| Self::around(address, prefix));
        split.ok_or_else(|| InvalidSubnet(text.to_owned()))
    }
}

impl TryFrom<String> for Subnet {
    type Error = InvalidSubnet;

    fn try_from(text: String) -> Result<Self, InvalidSubnet> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn the_host_part_is_cut_off() {
        assert_eq!(subnet("10.1.2.3/24").to_string(), "10.1.2.0/24");
        assert_eq!(subnet("fd00:1::9/64").to_string(), "fd00:1::/64");
        assert_eq!(subnet("1.2.3.4/0").to_string(), "0.0.0.0/0");
        assert_eq!(subnet("fd00::1/0").last().to_string(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        assert_eq!(subnet("10.0.0.1/32").last().to_string(), "10.0.0.1");
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0/8", "10.0.0.0/-1", "a/8"] {
            assert_eq!(text.parse::<Subnet>(), Err(InvalidSubnet(text.into())));
        }
    }

    #[test]
    fn addresses_are_counted_from_the_first() {
        let block = subnet("192.168.255.0/30");
        assert_eq!(block.nth(3), Some("192.168.255.3".parse().unwrap()));
        assert_eq!(block.nth(4), None);
        assert_eq!(block.offset("192.168.255.2".parse().unwrap()), Some(2));
        assert_eq!(block.offset("192.168.254.2".parse().unwrap()), None);
    }

    #[test]
    fn blocks_overlap_where_one_lies_in_the_other() {
        assert!(subnet("10.0.0.0/8").overlaps(subnet("10.9.0.0/16")));
        assert!(subnet("10.9.0.0/16").overlaps(subnet("10.0.0.0/8")));
        assert!(!subnet("10.0.0.0/16").overlaps(subnet("10.1.0.0/16")));
        assert!(!subnet("0.0.0.0/0").overlaps(subnet("::/0")));
    }
}
