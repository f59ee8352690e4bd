//! Networks of a container that runs: one more, one less, and what its files and its resolver learn of it.
//!
//! The record is what is wanted, `networks` what is. A container is in a network first and has it in its record then; it
//! leaves in the other order. So whatever a SIGKILL leaves is made whole by one rule: what the record does not have is
//! taken back ([`settle_networks`](Engine::settle_networks)).

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ::network::{Attachment, Network, Networks, RESOLVER, Resolver};
use rustix::process::Signal;

use crate::config::EndpointSettings;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::files::{self, Hosts};
use crate::launch::resolv_conf;
use crate::network::{connected, endpoint, request_for};
use crate::record::{Dir, Lock};
use crate::repair::Monitor;
use crate::spec::Place;
use crate::state::State;

/// So long is a monitor waited for that is to resolve names from now on.
const PATIENCE: Duration = Duration::from_secs(2);

impl Engine {
    /// `network connect`: a container, running or not, gets one more network.
    ///
    /// # Errors
    /// Where it is in it already, has no network namespace of its own, or the network refuses.
    pub fn join_network(&self, container: &Container, network: &str, asked: &EndpointSettings) -> Result<()> {
        let (lock, mut state) = self.lock(container)?;
        let Some(record) = lock.container()? else {
            return Err(Error::NoSuchContainer(container.name.clone()));
        };
        if let Some(mode) = crate::user_network::mode(&record) {
            return Err(Error::Conflict(format!(
                "container {} has the network {} alone: make it with --network {network} to have it in that",
                record.name,
                mode.name()
            )));
        }
        let networks = self.networks();
        if !Place::of(&record.asked.host_config.network_mode).is_new() {
            let cause = "container sharing network namespace with another container or host cannot be connected to any other network";
            return Err(Error::Conflict(cause.to_owned()));
        }
        let network = networks.find(network)?;
        let all = names(&networks, &record);
        if all.contains(&network.name) {
            let container = record.name;
            return Err(::network::Error::AlreadyConnected { network: network.name, container }.into());
        }
        let mut after = record.clone();
        if record.asked.host_config.network_mode == "none" {
            network.name.clone_into(&mut after.asked.host_config.network_mode);
        }
        let config = &mut after.asked.networking_config.endpoints_config;
        for name in all {
            config.entry(name).or_default();
        }
        config.insert(network.name.clone(), asked.clone());
        let Some(namespace) = namespace(&state)? else {
            lock.write_container(&after)?;
            self.tell_of_network("connect", &network, &record.id);
            return Ok(());
        };
        let request = request_for(&record, vec![endpoint(network.name.clone(), asked)?])?;
        let before = networks.attachment(&record.id)?;
        networks.begin_change(&record.id)?;
        let attachment = match networks.connect(&request, namespace.as_fd()) {
            Ok(attachment) => attachment,
            Err(error) => {
                // All of it was undone.
                networks.end_change(&record.id)?;
                return Err(error.into());
            }
        };
        lock.write_container(&after)?;
        self.write_connected(&lock, &after, &mut state, before.as_ref(), &attachment)?;
        networks.end_change(&record.id)?;
        self.resolve_names(&networks, &after, &attachment)?;
        self.tell_of_network("connect", &network, &record.id);
        Ok(())
    }

    /// `network disconnect`: a container, running or not, loses a network.
    ///
    /// # Errors
    /// Where it is not in it, or the kernel refuses.
    pub fn leave_network(&self, container: &Container, network: &str) -> Result<()> {
        let (lock, mut state) = self.lock(container)?;
        let Some(record) = lock.container()? else {
            return Err(Error::NoSuchContainer(container.name.clone()));
        };
        let networks = self.networks();
        let network = networks.find(network)?;
        let mut all = names(&networks, &record);
        if !all.contains(&network.name) {
            let container = record.id;
            return Err(::network::Error::NotConnected { network: network.name, container }.into());
        }
        all.retain(|name| *name != network.name);
        let mut after = record.clone();
        after.asked.host_config.network_mode = all.first().cloned().unwrap_or_else(|| "none".to_owned());
        let config = &mut after.asked.networking_config.endpoints_config;
        config.retain(|name, _| all.contains(name));
        for name in all {
            config.entry(name).or_default();
        }
        let Some(namespace) = namespace(&state)? else {
            lock.write_container(&after)?;
            self.tell_of_network("disconnect", &network, &record.id);
            return Ok(());
        };
        let before = networks.attachment(&record.id)?;
        networks.begin_change(&record.id)?;
        lock.write_container(&after)?;
        let left = networks.disconnect(&record.id, &network.name, Some(namespace.as_fd()));
        let attachment = left.or_else(|error| {
            lock.write_container(&record)?;
            Err(Error::from(error))
        })?;
        self.write_connected(&lock, &after, &mut state, before.as_ref(), &attachment)?;
        networks.end_change(&record.id)?;
        self.tell_of_network("disconnect", &network, &record.id);
        Ok(())
    }

    /// Has the state and /etc/hosts say what a container is connected with now.
    fn write_connected(
        &self,
        lock: &Lock,
        record: &Container,
        state: &mut State,
        before: Option<&Attachment>,
        attachment: &Attachment,
    ) -> Result<()> {
        let now = connected(record, attachment);
        let before = before.map(|before| connected(record, before).addresses).unwrap_or_default();
        self.move_addresses(record, &before, &now.addresses)?;
        (state.networks, state.ports) = (now.networks, now.ports);
        lock.write_state(state)
    }

    fn move_addresses(&self, record: &Container, before: &[IpAddr], now: &[IpAddr]) -> Result<()> {
        let etc = self.paths().container(&record.id).join("etc");
        let text = std::fs::read_to_string(etc.join("hosts")).unwrap_or_default();
        let config = &record.asked.config;
        let hosts = Hosts {
            hostname: &config.hostname,
            domainname: &config.domainname,
            addresses: now,
            ..Hosts::default()
        };
        files::write(&etc, "hosts", &hosts.moved(&text, before))
            .map_err(|error| Error::io("write", etc.join("hosts"), error))
    }

    /// Has the monitor resolve names from now on, where no network before needed that, and waits until it does. What the
    /// container itself made of its resolv.conf stays.
    fn resolve_names(&self, networks: &Networks, record: &Container, attachment: &Attachment) -> Result<()> {
        let path = self.paths().container(&record.id).join("etc/resolv.conf");
        let text = || std::fs::read_to_string(&path).unwrap_or_default();
        let before = text();
        if !Resolver::is_needed(networks, attachment) || !is_plain(record, &before) {
            return Ok(());
        }
        // Without a monitor there is nobody to resolve.
        let Some(monitor) = self.monitor_process(&record.id)? else { return Ok(()) };
        let told = sys::process::pidfd_signal(monitor.as_fd(), Signal::USR1.as_raw());
        told.map_err(|errno| Error::io("signal", "the container's monitor", errno))?;
        let deadline = Instant::now() + PATIENCE;
        // It has no other way to say so, and needs less than a millisecond.
        while text() == before && Instant::now() < deadline {
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    /// The resolver of a container that runs, opened now; none where it needs none. For its monitor.
    pub(crate) fn open_resolver(&self, id: &str) -> Result<Option<Resolver>> {
        let gone = || Error::NoSuchContainer(id.to_owned());
        let dir = Dir::open(self.paths().container(id))?.ok_or_else(gone)?;
        let (record, state) = (dir.container()?.ok_or_else(gone)?, dir.state()?.ok_or_else(gone)?);
        let networks = self.own_networks();
        let (Some(attachment), Some(namespace)) = (networks.attachment(id)?, namespace(&state)?) else {
            return Ok(None);
        };
        let Some(resolver) = crate::user_network::resolver(&networks, &attachment, namespace.as_fd())? else {
            return Ok(None);
        };
        let etc = self.paths().container(id).join("etc");
        if is_plain(&record, &std::fs::read_to_string(etc.join("resolv.conf")).unwrap_or_default()) {
            let text = resolv_conf(&record, files::Network::Own, &[RESOLVER.into()]);
            files::write(&etc, "resolv.conf", &text)
                .map_err(|error| Error::io("write", etc.join("resolv.conf"), error))?;
        }
        Ok(Some(resolver))
    }

    /// Completes a change of a container's networks whose maker was killed. The lock is held.
    pub(crate) fn settle_networks(&self, lock: &Lock, id: &str, state: &mut State) -> Result<()> {
        let networks = self.own_networks();
        if !networks.is_changing(id)? {
            return Ok(());
        }
        if let (Some(record), Some(namespace)) = (lock.container()?, namespace(state)?) {
            let before = networks.attachment(id)?;
            let wanted = names(&networks, &record);
            let complete = || Ok(networks.complete_change(id, &wanted, namespace.as_fd())?);
            if let Some(attachment) = crate::user_network::among_bridges(complete)? {
                self.write_connected(lock, &record, state, before.as_ref(), &attachment)?;
            }
        } else {
            networks.release_strays(id, &networks.attachment(id)?.unwrap_or_default())?;
        }
        Ok(networks.end_change(id)?)
    }

    /// Settles all containers whose networks were being changed by somebody who was killed, and takes back what those have
    /// that died unseen.
    pub(crate) fn settle_connected(&self, networks: &Networks) -> Result<()> {
        self.settle_changing(networks)?;
        for id in networks.connected()? {
            // One whose state can't be read keeps what it has.
            if let Ok(None) = self.state_of(&id)
                && self.monitor(&id)? != Monitor::Alive
            {
                networks.detach(&id)?;
            }
        }
        Ok(())
    }

    pub(crate) fn settle_changing(&self, networks: &Networks) -> Result<()> {
        for id in networks.changing()? {
            match Dir::open(self.paths().container(&id))? {
                Some(dir) => drop(dir.try_lock()?.map(|lock| self.settle(&lock, &id)).transpose()?),
                None => networks.end_change(&id)?,
            }
        }
        Ok(())
    }

    /// Whether a container may have something of the networks: it runs, or is about to.
    pub(crate) fn may_be_connected(&self, id: &str) -> Result<bool> {
        if self.monitor(id)? == Monitor::Alive {
            return Ok(true);
        }
        Ok(self.state_of(id)?.is_some_and(|state| state.status.is_active()))
    }

    fn tell_of_network(&self, action: &str, network: &Network, container: &str) {
        let attributes = [("container", container), ("name", &network.name), ("type", network.driver.name())];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.events().emit(&[Event::new("network", action, &network.id, attributes.into())]);
    }
}

/// The networks that a container's record has, by their names, whatever they were called when it was made.
fn names(networks: &Networks, record: &Container) -> Vec<String> {
    let named = record.networks().into_iter().filter(|name| name != "none");
    named.map(|name| networks.find(&name).map_or(name, |network| network.name)).collect()
}

/// Whether a resolv.conf is as it was made for a container whose networks resolve no names.
fn is_plain(record: &Container, text: &str) -> bool {
    [files::Network::Own, files::Network::None]
        .into_iter()
        .any(|network| resolv_conf(record, network, &[]) == text)
}

/// The network namespace of a container, where it runs.
fn namespace(state: &State) -> Result<Option<File>> {
    if !state.status.is_active() || state.pid <= 0 {
        return Ok(None);
    }
    let path = format!("/proc/{}/ns/net", state.pid);
    Ok(Some(File::open(&path).map_err(|error| Error::io("open", &path, error))?))
}
