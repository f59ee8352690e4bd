//! Takes back what a container was connected with, from what is on disk; and finds what containers left behind that are
//! no more.
//!
//! A veth pair ends with the container's network namespace, in the kernel's own time. To remove it here would mean to wait
//! for that, 20 ms and more; so it is unplugged, and noted among those that are about to go. Who looks for what is left
//! (`reclaim`) removes those that stayed, because somebody holds the namespace.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use namespace::netlink::{self, Netlink};
use rustix::io::Errno;

use crate::endpoint::{Attachment, Endpoint};
use crate::link::{self, Link};
use crate::network::{Driver, Network};
use crate::{Error, Networks, Result, bridge, cni, disk, leases};

impl Networks {
    /// Takes back everything that a container was connected with. One that is connected with nothing is as good.
    ///
    /// # Errors
    /// Where something can't be taken back; the rest is, all the same.
    pub fn detach(&self, container: &str) -> Result<()> {
        match self.attachment(container)? {
            Some(attachment) => self.take_back(&attachment),
            None => Ok(()),
        }
    }

    /// The rules first, so that nothing is led to an address that somebody else may get; the note last, so that whoever
    /// comes after a SIGKILL does it all again.
    pub(crate) fn take_back(&self, attachment: &Attachment) -> Result<()> {
        let owner = &attachment.container;
        let mut outcome = self.firewall_detach(attachment);
        let mut also = |result: Result<()>| {
            if outcome.is_ok() {
                outcome = result;
            }
        };
        for endpoint in &attachment.endpoints {
            also(self.remove_names(attachment, endpoint));
            also(self.unplug(owner, endpoint));
            also(self.release(owner, endpoint));
        }
        also(self.release_ports(&attachment.ports, owner));
        outcome?;
        disk::remove(&self.attachment_path(owner))
    }

    /// Has a veth pair be of no effect.
    pub(crate) fn unplug(&self, owner: &str, endpoint: &Endpoint) -> Result<()> {
        if endpoint.driver == Driver::Cni {
            return cni::remove(self, owner, endpoint, None);
        }
        let Some(name) = &endpoint.host_interface else { return Ok(()) };
        let netlink =
            Netlink::open().map_err(|refusal| Error::kernel("open", "rtnetlink socket", refusal))?;
        match netlink.act(&link::unplug(name)) {
            Ok(()) => {
                self.forget_gone_links(&netlink)?;
                disk::note(&self.leaving().join(name), owner).map(drop)
            }
            Err(refusal) if refusal.errno == Errno::NODEV => Ok(()),
            Err(refusal) => Err(Error::kernel("unplug interface", name, refusal)),
        }
    }

    /// Gives the addresses of an endpoint back.
    pub(crate) fn release(&self, owner: &str, endpoint: &Endpoint) -> Result<()> {
        let dir = self.run().join("leases").join(&endpoint.network_id);
        for address in [false, true].iter().filter_map(|ipv6| endpoint.address(*ipv6)) {
            leases::release(&dir, address, owner)?;
        }
        Ok(())
    }

    /// Gives back addresses and ports that a container was to get, and of which no note says that it has them: whoever took
    /// them for it was killed.
    ///
    /// # Errors
    /// Where something can't be given back.
    pub fn release_strays(&self, container: &str, kept: &Attachment) -> Result<()> {
        for network in disk::names(&self.run().join("leases"))? {
            let dir = self.run().join("leases").join(&network);
            let has = |address: std::net::IpAddr| {
                kept.endpoints.iter().any(|endpoint| {
                    endpoint.network_id == network && endpoint.address(address.is_ipv6()) == Some(address)
                })
            };
            for (address, owner) in leases::list(&dir)? {
                if owner == container && !has(address) {
                    leases::release(&dir, address, &owner)?;
                }
            }
        }
        if kept.ports.is_empty() { self.reclaim_ports(&|owner| owner != container) } else { Ok(()) }
    }

    /// Takes back what containers were connected with that are no more, and removes interfaces that stayed.
    ///
    /// # Errors
    /// Where something can't be taken back.
    pub fn reclaim(&self) -> Result<()> {
        for container in self.connected()? {
            if !(self.alive())(&container) {
                self.detach(&container)?;
            }
        }
        for network in disk::names(&self.run().join("leases"))? {
            let dir = self.run().join("leases").join(network);
            for (address, owner) in leases::list(&dir)? {
                if !(self.alive())(&owner) {
                    leases::release(&dir, address, &owner)?;
                }
            }
        }
        for dir in [self.run().to_owned(), self.run().join("containers")] {
            disk::forget_staged(&dir)?;
        }
        self.reclaim_ports(&|owner| (self.alive())(owner))?;
        self.reclaim_links()
    }

    /// Notes of interfaces that are about to go.
    fn leaving(&self) -> PathBuf {
        self.run().join("leaving")
    }

    /// Removes notes of interfaces that went, a few at a time: each new one pays for more than one, so that they stay few.
    fn forget_gone_links(&self, netlink: &Netlink) -> Result<()> {
        const A_FEW: usize = 4;
        let dir = self.leaving();
        for name in disk::names(&dir)?.into_iter().take(A_FEW) {
            let link = Link::look_for(netlink, &name);
            if link.map_err(|refusal| Error::kernel("find interface", &name, refusal))?.is_none() {
                disk::remove(&dir.join(name))?;
            }
        }
        Ok(())
    }

    fn reclaim_links(&self) -> Result<()> {
        let dir = self.leaving();
        let leaving = disk::names(&dir)?;
        if leaving.is_empty() {
            return Ok(());
        }
        let netlink =
            Netlink::open().map_err(|refusal| Error::kernel("open", "rtnetlink socket", refusal))?;
        for name in leaving {
            match netlink.act(&link::delete(&name)) {
                Err(refusal) if refusal.errno == Errno::NODEV => {}
                other => other.map_err(|refusal| Error::kernel("remove interface", &name, refusal))?,
            }
            disk::remove(&dir.join(name))?;
        }
        Ok(())
    }

    /// Makes again what somebody removed: bridges with their addresses and parameters, rules, ports of bridges; and takes
    /// back what containers left behind that are no more.
    ///
    /// # Errors
    /// Where something can't be made.
    pub fn repair(&self) -> Result<()> {
        self.reclaim()?;
        let networks: Vec<Network> =
            self.list()?.into_iter().filter(|network| network.driver.has_bridge()).collect();
        let attachments = self.attachments()?;
        let netlink =
            Netlink::open().map_err(|refusal| Error::kernel("open", "rtnetlink socket", refusal))?;
        for network in &networks {
            let settings = network.settings()?;
            bridge::repair(&netlink, network, &settings)?;
            let bridge = bridge::ensure(&netlink, network, &settings)?;
            for endpoint in attachments.iter().flat_map(|attachment| &attachment.endpoints) {
                let Some(name) =
                    endpoint.host_interface.as_ref().filter(|_| endpoint.network_id == network.id)
                else {
                    continue;
                };
                // One whose container is on its way out is not there, which is right.
                if let Ok(Some(link)) = Link::look_for(&netlink, name)
                    && (link.master != Some(bridge.index) || !link.up)
                {
                    let plugged = netlink.act(&link::plug(link.index, bridge.index));
                    plugged.map_err(|refusal| Error::kernel("plug in interface", name, refusal))?;
                }
            }
        }
        if networks.is_empty() { Ok(()) } else { self.repair_firewall() }
    }

    /// Removes an endpoint's interface from a container that goes on.
    pub(crate) fn pull_out(&self, owner: &str, endpoint: &Endpoint, namespace: BorrowedFd<'_>) -> Result<()> {
        let failed = |refusal| Error::kernel("remove interface", &endpoint.interface, refusal);
        if endpoint.driver == Driver::Cni {
            return cni::remove(self, owner, endpoint, Some(namespace));
        }
        let inside = Netlink::open_in(namespace).map_err(failed)?;
        let home = netlink::own_namespace().map_err(failed)?;
        let Some(link) = Link::look_for(&inside, &endpoint.interface).map_err(failed)? else { return Ok(()) };
        if endpoint.driver == Driver::HostDevice {
            let network = self.find(&endpoint.network_id)?;
            let name = network.settings()?.parent.unwrap_or_else(|| endpoint.interface.clone());
            return inside
                .act(&link::relocate(link.index, std::os::fd::AsFd::as_fd(&home), &name))
                .map_err(failed);
        }
        inside.act(&link::delete(&endpoint.interface)).map_err(failed)
    }
}
