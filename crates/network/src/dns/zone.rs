//! What a container's names mean in its networks: read from the files of the networks at each question.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::message::{A, AAAA, Code, Data, PTR, Question};
use crate::endpoint::Attachment;
use crate::{Result, Subnet, disk, names};

/// A network as its names are looked up.
#[derive(Clone, Debug)]
struct Network {
    name: String,
    names: PathBuf,
    leases: PathBuf,
    subnets: Vec<Subnet>,
}

/// The networks of a container, with the names that it alone knows.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    networks: Vec<Network>,
    /// Alias → container (`--link`).
    links: Vec<(String, String)>,
    /// What containers are connected with.
    containers: PathBuf,
}

impl Zone {
    /// Of the networks of `attachment` in which names are resolved; `run` is where networks have what ends with the host's
    /// uptime.
    pub fn new(run: &Path, attachment: &Attachment) -> Self {
        let resolving = attachment.endpoints.iter().filter(|endpoint| endpoint.resolves_names());
        let network = |endpoint: &crate::Endpoint| Network {
            name: endpoint.network.clone(),
            names: run.join("names").join(&endpoint.network_id),
            leases: run.join("leases").join(&endpoint.network_id),
            subnets: [false, true].iter().filter_map(|ipv6| endpoint.subnet(*ipv6)).collect(),
        };
        let link = |link: &String| {
            let (container, alias) = link.split_once(':').unwrap_or((link, link));
            (alias.to_ascii_lowercase(), container.to_owned())
        };
        Self {
            links: attachment.endpoints.iter().flat_map(|endpoint| &endpoint.links).map(link).collect(),
            networks: resolving.map(network).collect(),
            containers: run.join("containers"),
        }
    }

    /// Whether there is any network in it.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// What is known about a question; `None` where it is to be asked elsewhere.
    pub fn answer(&self, question: &Question) -> Option<(Code, Data)> {
        if !question.is_internet {
            return None;
        }
        let nothing = Data::Addresses(Vec::new());
        // Of a file that can't be read nobody knows anything.
        match question.kind {
            PTR => {
                let address = question.reversed()?;
                let known =
                    self.networks.iter().any(|network| network.subnets.iter().any(|s| s.contains(address)));
                let name = known.then(|| self.name_of(address).ok().flatten())?;
                Some(name.map_or((Code::NoSuchName, nothing), |name| (Code::NoError, Data::Name(name))))
            }
            _ => {
                let addresses = self.addresses_of(question.name.as_deref()?).ok().flatten()?;
                // A name that is there has no other records, which is no error.
                let wanted = matches!(question.kind, A | AAAA);
                Some((Code::NoError, if wanted { Data::Addresses(addresses) } else { nothing }))
            }
        }
    }

    /// The addresses of a name, in all networks; it may end with a network's name.
    pub fn addresses_of(&self, name: &str) -> Result<Option<Vec<IpAddr>>> {
        let linked =
            self.links.iter().find(|(alias, _)| alias == name).map(|(_, container)| container.as_str());
        let mut found: Option<Vec<IpAddr>> = None;
        for network in &self.networks {
            let suffix = format!(".{}", network.name.to_ascii_lowercase());
            let qualified = name.strip_suffix(&suffix);
            for name in linked.into_iter().chain(std::iter::once(name)).chain(qualified) {
                if let Some(addresses) = names::look_up(&network.names, name)? {
                    found.get_or_insert_with(Vec::new).extend(addresses);
                    break;
                }
            }
        }
        Ok(found)
    }

    /// `CONTAINER.NETWORK` of an address.
    pub fn name_of(&self, address: IpAddr) -> Result<Option<String>> {
        for network in
            self.networks.iter().filter(|n| n.subnets.iter().any(|subnet| subnet.contains(address)))
        {
            if let Some(owner) = disk::noted(&network.leases.join(address.to_string()))? {
                let attachment: Option<Attachment> = disk::read_json(&self.containers.join(&owner))?;
                return Ok(attachment.map(|attachment| format!("{}.{}", attachment.name, network.name)));
            }
        }
        Ok(None)
    }
}
