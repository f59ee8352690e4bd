//! The names of containers in a network: `names/ID/NAME/CONTAINER` leads to the container's addresses.
//!
//! One directory per name, for several containers may share an alias; one symbolic link per container in it. To resolve
//! a name is to list a directory: nothing is kept in memory, nobody has to be told of a change.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::endpoint::{Attachment, Endpoint, EndpointRequest};
use crate::{Error, Networks, Result, disk};

/// The longest name that DNS knows.
const LONGEST: usize = 253;

/// All names of a container in a network: its own, its aliases, its short id, its host name.
pub(crate) fn of(attachment: &Attachment, wanted: &EndpointRequest) -> Vec<String> {
    let short = crate::error::short(&attachment.container).to_owned();
    let own = std::iter::once(attachment.name.clone());
    let all = own.chain(wanted.aliases.iter().cloned()).chain([short, attachment.hostname.clone()]);
    let mut names: Vec<String> = Vec::new();
    for name in all {
        if !names.contains(&name) && file_name(&name).is_some() {
            names.push(name);
        }
    }
    names
}

/// A name as a file's: names know no case. `None` for what is none.
fn file_name(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = !name.is_empty() && name.len() <= LONGEST && !name.starts_with('.');
    let clean = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    (fits && clean).then(|| name.to_ascii_lowercase())
}

/// The addresses of everybody of that name in a network whose names are in `dir`; `None` where nobody has it.
pub(crate) fn look_up(dir: &Path, name: &str) -> Result<Option<Vec<IpAddr>>> {
    let Some(name) = file_name(name) else { return Ok(None) };
    let dir = dir.join(name);
    let mut found = None;
    for container in disk::names(&dir)? {
        if let Some(addresses) = disk::noted(&dir.join(container))? {
            let parsed = addresses.split(' ').filter_map(|address| address.parse::<IpAddr>().ok());
            found.get_or_insert_with(Vec::new).extend(parsed);
        }
    }
    Ok(found)
}

impl Networks {
    /// Where the names of a network are.
    pub(crate) fn names_dir(&self, network_id: &str) -> PathBuf {
        self.run().join("names").join(network_id)
    }

    /// Has the others in the network find a container under its names.
    pub(crate) fn add_names(&self, attachment: &Attachment, endpoint: &Endpoint) -> Result<()> {
        let dir = self.names_dir(&endpoint.network_id);
        let addresses: Vec<String> =
            [false, true].iter().filter_map(|ipv6| Some(endpoint.address(*ipv6)?.to_string())).collect();
        for name in endpoint.dns_names.iter().filter_map(|name| file_name(name)) {
            let path = dir.join(&name).join(&attachment.container);
            if !disk::note(&path, &addresses.join(" "))? {
                // Left by an earlier life of the same container.
                disk::remove(&path)?;
                disk::note(&path, &addresses.join(" "))?;
            }
        }
        Ok(())
    }

    /// Takes its names back.
    pub(crate) fn remove_names(&self, attachment: &Attachment, endpoint: &Endpoint) -> Result<()> {
        let dir = self.names_dir(&endpoint.network_id);
        for name in endpoint.dns_names.iter().filter_map(|name| file_name(name)) {
            disk::remove(&dir.join(&name).join(&attachment.container))?;
            disk::remove_empty(&dir.join(&name))?;
        }
        Ok(())
    }

    /// The addresses of everybody of that name in a network; `None` where nobody has it.
    ///
    /// # Errors
    /// Where the names can't be read.
    pub fn resolve_name(&self, network_id: &str, name: &str) -> Result<Option<Vec<IpAddr>>, Error> {
        look_up(&self.names_dir(network_id), name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_its_directory() {
        for name in ["", ".", "..", "a/b", "../a", "/a", ".hidden", "a\0b", "a b", "ä"] {
            assert_eq!(file_name(name), None, "{name:?}");
        }
        assert_eq!(file_name(&"a".repeat(254)), None);
        assert_eq!(file_name("Web.Example.").as_deref(), Some("web.example"));
    }

    #[test]
    fn everybody_of_a_name_is_found() {
        let dir = tempfile::tempdir().unwrap();
        disk::note(&dir.path().join("web/one"), "10.0.0.2 fd00::2").unwrap();
        disk::note(&dir.path().join("web/two"), "10.0.0.3").unwrap();
        let mut found = look_up(dir.path(), "WEB.").unwrap().unwrap();
        found.sort();
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.0.2", "10.0.0.3", "fd00::2"]
        );
        assert_eq!(look_up(dir.path(), "db").unwrap(), None);
    }
}
