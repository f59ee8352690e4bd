//! Networks by plugins of the Container Network Interface (specification 1.0): programs that get a network's
//! configuration on stdin, what to do in their environment, and answer in JSON.
//!
//! A network's plugins are called in their order to add a container, each with the result of the one before, and in the
//! reverse order to remove it. What they were told is kept, so that a container is removed as it was added.

use std::io::Write;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::endpoint::Endpoint;
use crate::network::Network;
use crate::settings::Settings;
use crate::{Error, Networks, Result, Subnet, disk};

/// Where plugins are, unless $CNI_PATH says otherwise: as packages of CNI and of Debian have it.
const PATH: &str = "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni";

/// A network's configuration: a list of plugins.
struct Config {
    name: String,
    version: Value,
    plugins: Vec<Value>,
}

impl Config {
    /// Reads a list, or the configuration of a single plugin.
    fn read(path: &Path) -> Result<Self> {
        let value: Value = disk::read_json(path)?
            .ok_or_else(|| Error::file("read", path, std::io::Error::from(std::io::ErrorKind::NotFound)))?;
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let plugins = match value.get("plugins").and_then(Value::as_array) {
            Some(plugins) => plugins.clone(),
            None => vec![value.clone()],
        };
        let name =
            text("name").ok_or_else(|| Error::InvalidConfig(format!("{}: no \"name\"", path.display())))?;
        let version = value.get("cniVersion").cloned().unwrap_or_else(|| json!("0.2.0"));
        Ok(Self { name, version, plugins })
    }
}

/// What a plugin is called with.
struct Call<'a> {
    network: &'a str,
    command: &'a str,
    container: &'a str,
    namespace: String,
    interface: &'a str,
}

/// Adds a container by all plugins of a network, and notes in the endpoint what they gave it.
pub(crate) fn add(
    networks: &Networks,
    container: &str,
    network: &Network,
    settings: &Settings,
    endpoint: &mut Endpoint,
    namespace: BorrowedFd<'_>,
) -> Result<()> {
    let config = Config::read(Path::new(settings.cni.as_deref().unwrap_or_default()))?;
    let namespace = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
    let call =
        Call { network: &network.name, command: "ADD", container, namespace, interface: &endpoint.interface };
    // Before the first plugin has made anything, so that it is removed again in any case.
    let kept = kept(networks, container, endpoint);
    disk::make_directory(kept.parent().unwrap_or(Path::new("/")))?;
    let mut result = Value::Null;
    disk::replace_json(
        &kept,
        &json!({ "name": config.name, "cniVersion": config.version, "plugins": config.plugins }),
    )?;
    for plugin in &config.plugins {
        result = call.run(&config, plugin, &result)?;
    }
    disk::replace_json(
        &kept,
        &json!({ "name": config.name, "cniVersion": config.version, "plugins": config.plugins, "result": result }),
    )?;
    take_over(endpoint, &result);
    Ok(())
}

/// Removes a container by all plugins, in reverse. They must take it that its network namespace is gone; where it is not,
/// they remove its interface too.
pub(crate) fn remove(
    networks: &Networks,
    container: &str,
    endpoint: &Endpoint,
    namespace: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let kept = kept(networks, container, endpoint);
    let Some(value) = disk::read_json::<Value>(&kept)? else { return Ok(()) };
    let config = Config::read(&kept)?;
    let (network, interface) = (&*endpoint.network, &*endpoint.interface);
    let path =
        |namespace: BorrowedFd<'_>| format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
    let namespace = namespace.map(path).unwrap_or_default();
    let call = Call { network, command: "DEL", container, namespace, interface };
    let result = value.get("result").cloned().unwrap_or_default();
    for plugin in config.plugins.iter().rev() {
        call.run(&config, plugin, &result)?;
    }
    disk::remove(&kept)
}

fn kept(networks: &Networks, container: &str, endpoint: &Endpoint) -> PathBuf {
    networks.run().join("cni").join(format!("{container}-{}", endpoint.interface))
}

/// Addresses and interfaces as the plugins gave them.
fn take_over(endpoint: &mut Endpoint, result: &Value) {
    for ip in result.get("ips").and_then(Value::as_array).into_iter().flatten() {
        let Some((address, prefix)) =
            ip.get("address").and_then(Value::as_str).and_then(crate::subnet::split)
        else {
            continue;
        };
        let gateway = ip.get("gateway").and_then(Value::as_str).and_then(|text| text.parse::<IpAddr>().ok());
        let subnet = Subnet::around(address, prefix);
        match (address, gateway) {
            (IpAddr::V4(address), gateway) => {
                (endpoint.ipv4, endpoint.ipv4_subnet) = (Some(address), subnet);
                endpoint.ipv4_gateway = gateway.and_then(|gateway| match gateway {
                    IpAddr::V4(gateway) => Some(gateway),
                    IpAddr::V6(_) => None,
                });
            }
            (IpAddr::V6(address), gateway) => {
                (endpoint.ipv6, endpoint.ipv6_subnet) = (Some(address), subnet);
                endpoint.ipv6_gateway = gateway.and_then(|gateway| match gateway {
                    IpAddr::V6(gateway) => Some(gateway),
                    IpAddr::V4(_) => None,
                });
            }
        }
    }
    let own = |interface: &&Value| interface.get("name").and_then(Value::as_str) == Some(&endpoint.interface);
    let interfaces = result.get("interfaces").and_then(Value::as_array);
    let found = interfaces.and_then(|interfaces| interfaces.iter().find(own));
    endpoint.mac = found.and_then(|interface| interface.get("mac")?.as_str()?.parse().ok());
}

impl Call<'_> {
    fn run(&self, config: &Config, plugin: &Value, previous: &Value) -> Result<Value> {
        let kind = plugin.get("type").and_then(Value::as_str).unwrap_or_default();
        let failed = |message: String| Error::Cni {
            network: self.network.to_owned(),
            plugin: kind.to_owned(),
            message,
        };
        let path = std::env::var("CNI_PATH").unwrap_or_else(|_| PATH.to_owned());
        let program = find(&path, kind).ok_or_else(|| {
            failed(format!(
                "there is no such program in {path}: install containernetworking-plugins, or set CNI_PATH"
            ))
        })?;
        let mut input = plugin.clone();
        if let Some(input) = input.as_object_mut() {
            input.insert("name".into(), json!(config.name));
            input.insert("cniVersion".into(), config.version.clone());
            if !previous.is_null() {
                input.insert("prevResult".into(), previous.clone());
            }
        }
        let mut command = Command::new(program);
        command
            .env("CNI_COMMAND", self.command)
            .env("CNI_CONTAINERID", self.container)
            .env("CNI_NETNS", &self.namespace)
            .env("CNI_IFNAME", self.interface)
            .env("CNI_PATH", &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A plugin that does not read says itself what is wrong.
            let _ = stdin.write_all(input.to_string().as_bytes());
        }
        let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if output.status.success() {
            return Ok(answer);
        }
        let told = |key: &str| answer.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let said = [told("msg"), told("details")].into_iter().flatten().collect::<Vec<_>>().join(": ");
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(failed(if said.is_empty() { format!("{}: {}", output.status, stderr.trim()) } else { said }))
    }
}

/// The program of that name in a list of directories; a name is no path.
fn find(path: &str, name: &str) -> Option<PathBuf> {
    let plain = !name.is_empty() && !name.contains('/');
    path.split(':').filter(|_| plain).map(|dir| Path::new(dir).join(name)).find(|program| program.is_file())
}
