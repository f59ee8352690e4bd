//! Networks of a container that runs: one more, or one less.

use std::os::fd::BorrowedFd;

use namespace::netlink::Netlink;

use crate::endpoint::{AttachRequest, Attachment, Endpoint};
use crate::link::Link;
use crate::{Error, Networks, Result, address, disk};

impl Networks {
    /// Connects a container, whose network namespace is `namespace`, to one more network: the one of the request. The rest
    /// of the request counts where the container is connected with nothing yet.
    ///
    /// # Errors
    /// Where it is connected already, an address is taken, or the kernel refuses; then everything is as it was.
    pub fn connect(&self, request: &AttachRequest, namespace: BorrowedFd<'_>) -> Result<Attachment> {
        let AttachRequest { container, endpoints, .. } = request;
        let before = self.attachment(container)?;
        let (Some(before), [wanted]) = (before, &endpoints[..]) else {
            return self.attach(request, namespace);
        };
        let mut after = before.clone();
        let made = self.extend(&mut after, wanted, namespace);
        if let Err(error) = made {
            if let Some(endpoint) = after.endpoints.get(before.endpoints.len()) {
                // The reason why it can't be is what is told.
                let _ = self.drop_endpoint(&after, endpoint, Some(namespace));
            }
            let _ = disk::replace_json(&self.attachment_path(container), &before);
            let _ =
                after.endpoints.get(before.endpoints.len()).map(|endpoint| self.release(container, endpoint));
            return Err(error);
        }
        self.move_way_out(&before, &after, namespace)?;
        Ok(after)
    }

    /// Disconnects a container that runs from a network.
    ///
    /// # Errors
    /// Where it is not connected, or the kernel refuses.
    pub fn disconnect(
        &self,
        container: &str,
        network: &str,
        namespace: Option<BorrowedFd<'_>>,
    ) -> Result<Attachment> {
        let network = self.find(network)?;
        let not_connected =
            || Error::NotConnected { network: network.name.clone(), container: container.to_owned() };
        let before = self.attachment(container)?.ok_or_else(not_connected)?;
        let at = before.endpoints.iter().position(|endpoint| endpoint.network_id == network.id);
        let at = at.ok_or_else(not_connected)?;
        let mut after = before.clone();
        let gone = after.endpoints.remove(at);
        // Published ports are led elsewhere by the rules before the interface goes.
        self.move_ports(&before, &after)?;
        self.drop_endpoint(&before, &gone, namespace)?;
        disk::replace_json(&self.attachment_path(container), &after)?;
        // Nobody may get an address that a note on disk still gives to this container.
        self.release(container, &gone)?;
        if let Some(namespace) = namespace {
            self.move_way_out(&before, &after, namespace)?;
        }
        Ok(after)
    }

    pub(crate) fn drop_endpoint(
        &self,
        attachment: &Attachment,
        endpoint: &Endpoint,
        namespace: Option<BorrowedFd<'_>>,
    ) -> Result<()> {
        self.remove_names(attachment, endpoint)?;
        match namespace {
            Some(namespace) => self.pull_out(&attachment.container, endpoint, namespace),
            None => self.unplug(&attachment.container, endpoint),
        }
    }

    /// Has the default routes lead through the endpoint that is the way out now.
    fn move_way_out(&self, before: &Attachment, after: &Attachment, namespace: BorrowedFd<'_>) -> Result<()> {
        let inside = Netlink::open_in(namespace)
            .map_err(|refusal| Error::kernel("open", "rtnetlink socket in the container", refusal))?;
        for ipv6 in [false, true] {
            let (old, new) = (before.way_out(ipv6), after.way_out(ipv6));
            if old.map(|way| &way.endpoint_id) == new.map(|way| &way.endpoint_id) {
                continue;
            }
            let failed = |refusal| Error::kernel("move", "default route of the container", refusal);
            if let Some(old) = old
                && let Some(link) = Link::look_for(&inside, &old.interface).map_err(failed)?
                && let Some(gateway) = old.gateway(ipv6)
            {
                // With the interface it went by itself.
                let _ = inside.act(&address::no_default_route(gateway, link.index));
            }
            if let Some(new) = new
                && let Some(gateway) = new.gateway(ipv6)
            {
                let link = Link::find(&inside, &new.interface).map_err(failed)?;
                inside.act(&address::default_route(gateway, link.index)).map_err(failed)?;
            }
        }
        self.move_ports(before, after)
    }

    /// Has the default routes lead through the endpoint that is the way out, whatever they do now.
    pub(crate) fn lead_out(&self, attachment: &Attachment, namespace: BorrowedFd<'_>) -> Result<()> {
        let failed = |refusal| Error::kernel("set", "default route of the container", refusal);
        let inside = Netlink::open_in(namespace).map_err(failed)?;
        for ipv6 in [false, true] {
            if let Some(way) = attachment.way_out(ipv6)
                && let Some(gateway) = way.gateway(ipv6)
                && let Some(link) = Link::look_for(&inside, &way.interface).map_err(failed)?
            {
                inside.act(&address::default_route(gateway, link.index)).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Has published ports lead to the endpoint that is the way out now.
    fn move_ports(&self, before: &Attachment, after: &Attachment) -> Result<()> {
        let target = |attachment: &Attachment| {
            [false, true].map(|ipv6| attachment.way_out(ipv6).map(|way| way.endpoint_id.clone()))
        };
        if before.ports.is_empty() || target(before) == target(after) {
            return Ok(());
        }
        self.firewall_detach(before)?;
        let networks = self.networks_of(after)?;
        self.firewall_attach(&networks.iter().collect::<Vec<_>>(), after)
    }
}
