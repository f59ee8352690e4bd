//! Who has which address of a network: one symbolic link per address, named by it and leading to the container's id.
//!
//! To make the link is to get the address, whoever else tries at the same time, and no lock is held. Whoever comes
//! across the lease of a container that is no more takes it over.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::network::Pool;
use crate::{Error, Network, Result, Subnet};

/// So many addresses in a row that others have are tried; then one looks who has which.
const TRIES: u32 = 16;

/// The leases of a network.
pub(crate) struct Leases<'a> {
    network: &'a Network,
    dir: PathBuf,
    alive: &'a dyn Fn(&str) -> bool,
}

impl<'a> Leases<'a> {
    /// Those in `dir`; `alive` says whether a container still is.
    pub fn new(network: &'a Network, dir: PathBuf, alive: &'a dyn Fn(&str) -> bool) -> Self {
        Self { network, dir, alive }
    }

    /// The address that was asked for.
    pub fn take(&self, address: IpAddr, owner: &str) -> Result<()> {
        let network = self.network.name.clone();
        let pool = self.network.pool(address.is_ipv6()).filter(|pool| pool.subnet.contains(address));
        let Some(pool) = pool else { return Err(Error::AddressOutside { network, address }) };
        if let Some(why) = reserved(pool, address) {
            return Err(Error::AddressReserved { network, address, why });
        }
        match self.claim(address, owner)? {
            None => Ok(()),
            Some(holder) => Err(Error::AddressTaken { network, address, owner: holder }),
        }
    }

    /// Any address of a family; `None` where the network has none of it.
    pub fn any(&self, ipv6: bool, owner: &str) -> Result<Option<IpAddr>> {
        let Some(pool) = self.network.pool(ipv6) else { return Ok(None) };
        let range = pool.range.unwrap_or(pool.subnet);
        let hint = self.dir.join(if ipv6 { ".next6" } else { ".next4" });
        let start = std::fs::read_to_string(&hint).ok().and_then(|text| text.parse().ok()).unwrap_or(1);
        let found = match self.near(pool, range, start, owner)? {
            Some(found) => found,
            None => self.anywhere(pool, range, owner)?,
        };
        // The hint keeps the search short and an address unused for a while after its end; nothing depends on it.
        let next = range.offset(found).unwrap_or(0).wrapping_add(1);
        write_hint(&hint, next);
        Ok(Some(found))
    }

    fn near(&self, pool: &Pool, range: Subnet, start: u128, owner: &str) -> Result<Option<IpAddr>> {
        let candidates = (start..start.saturating_add(TRIES.into())).map_while(|offset| range.nth(offset));
        for address in candidates.filter(|address| reserved(pool, *address).is_none()) {
            if disk::note(&self.path(address), owner)? {
                return Ok(Some(address));
            }
        }
        Ok(None)
    }

    /// The first address of all that nobody has, or whose owner is no more.
    fn anywhere(&self, pool: &Pool, range: Subnet, owner: &str) -> Result<IpAddr> {
        let taken: BTreeSet<IpAddr> = self.list()?.into_iter().map(|(address, _)| address).collect();
        let all = || {
            (0..).map_while(|offset| range.nth(offset)).filter(|address| reserved(pool, *address).is_none())
        };
        for address in all().filter(|address| !taken.contains(address)) {
            if disk::note(&self.path(address), owner)? {
                return Ok(address);
            }
        }
        for address in all() {
            if self.claim(address, owner)?.is_none() {
                return Ok(address);
            }
        }
        Err(Error::Exhausted { network: self.network.name.clone(), subnet: range })
    }

    /// Gets an address that is free, or whose owner is no more; else tells who has it.
    fn claim(&self, address: IpAddr, owner: &str) -> Result<Option<String>> {
        let path = self.path(address);
        loop {
            if disk::note(&path, owner)? {
                return Ok(None);
            }
            let Some(holder) = disk::noted(&path)? else { continue };
            if holder == owner {
                return Ok(None);
            }
            if (self.alive)(&holder) {
                return Ok(Some(holder));
            }
            self.evict(address, &holder)?;
        }
    }

    /// Ends the lease of a container that is no more. The link is renamed first: of several who come across it one
    /// gets it, and nobody removes the link that another has made since.
    fn evict(&self, address: IpAddr, holder: &str) -> Result<()> {
        let path = self.path(address);
        let aside = self.dir.join(format!(".{address}.{}", rustix::thread::gettid().as_raw_nonzero()));
        if std::fs::rename(&path, &aside).is_err() {
            return Ok(());
        }
        if let Some(other) = disk::noted(&aside)?.filter(|other| other != holder) {
            // It changed hands in between: it goes back, unless a third has it by now.
            disk::note(&path, &other)?;
        }
        disk::remove(&aside)
    }

    /// All leases.
    pub fn list(&self) -> Result<Vec<(IpAddr, String)>> {
        list(&self.dir)
    }

    fn path(&self, address: IpAddr) -> PathBuf {
        self.dir.join(address.to_string())
    }
}

/// Without cutting the file short first, which on ext4 would mean to write it out: the number has always as many digits.
fn write_hint(path: &Path, next: u128) {
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(path);
    let _ = file.and_then(|mut file| std::io::Write::write_all(&mut file, format!("{next:039}").as_bytes()));
}

/// Gives an address back, where it is the owner's.
pub(crate) fn release(dir: &Path, address: IpAddr, owner: &str) -> Result<()> {
    let path = dir.join(address.to_string());
    match disk::noted(&path)? {
        Some(holder) if holder == owner => disk::remove(&path),
        _ => Ok(()),
    }
}

/// All leases in a directory.
pub(crate) fn list(dir: &Path) -> Result<Vec<(IpAddr, String)>> {
    let mut leases = Vec::new();
    for name in disk::names(dir)? {
        if let (Ok(address), Some(owner)) = (name.parse(), disk::noted(&dir.join(&name))?) {
            leases.push((address, owner));
        }
    }
    Ok(leases)
}

/// Why no container gets an address.
fn reserved(pool: &Pool, address: IpAddr) -> Option<&'static str> {
    let point_to_point = pool.subnet.host_mask() <= 1;
    if pool.gateway == Some(address) {
        return Some("the gateway");
    }
    if pool.auxiliary.values().any(|other| *other == address) {
        return Some("an auxiliary address of the network");
    }
    if !point_to_point && address == pool.subnet.address() {
        return Some("the subnet's own address");
    }
    if !point_to_point && address.is_ipv4() && address == pool.subnet.last() {
        return Some("the broadcast address");
    }
    None
}
