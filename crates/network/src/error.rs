//! What goes wrong with networks.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use namespace::netlink::Refusal;
use rustix::io::Errno;

use crate::{InvalidMac, InvalidSubnet, Protocol, Subnet};

/// The result of what is done with networks.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something can't be done with a network.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("network {0} not found")]
    NoSuchNetwork(String),
    #[error("network {name} is ambiguous ({matches} matches found based on ID prefix)")]
    Ambiguous { name: String, matches: usize },
    #[error("network with name {0} already exists")]
    NameTaken(String),
    #[error("invalid network name {0:?}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    InvalidName(String),
    #[error("{0} is a pre-defined network and cannot be {1}")]
    Predefined(String, &'static str),
    #[error("network {network} has active endpoints ({})", containers.join(", "))]
    InUse { network: String, containers: Vec<String> },
    #[error("plugin {0:?} not found: there is no such network driver")]
    NoSuchDriver(String),
    #[error("invalid option {key}={value:?} of a network: {why}")]
    InvalidOption { key: String, value: String, why: String },
    #[error("invalid network config: {0}")]
    InvalidConfig(String),
    #[error(transparent)]
    InvalidSubnet(#[from] InvalidSubnet),
    #[error(transparent)]
    InvalidMac(#[from] InvalidMac),
    #[error("subnet {subnet} of network {network} overlaps with {other_subnet} of network {other}")]
    Overlap { network: String, subnet: Subnet, other: String, other_subnet: Subnet },
    #[error("subnet {subnet} of network {network} overlaps with the host's route to {route}")]
    RouteOverlap { network: String, subnet: Subnet, route: Subnet },
    #[error("no free subnet is left for network {0}: the routes of the host and other networks take all")]
    NoFreeSubnet(String),
    #[error("no free address is left in subnet {subnet} of network {network}")]
    Exhausted { network: String, subnet: Subnet },
    #[error("address {address} is already in use on network {network} by container {}", short(owner))]
    AddressTaken { network: String, address: IpAddr, owner: String },
    #[error("address {address} lies in no subnet of network {network}")]
    AddressOutside { network: String, address: IpAddr },
    #[error("address {address} can't be given to a container of network {network}: it is {why}")]
    AddressReserved { network: String, address: IpAddr, why: &'static str },
    #[error("container {} is not connected to network {network}", short(container))]
    NotConnected { network: String, container: String },
    #[error("endpoint with name {container} already exists in network {network}")]
    AlreadyConnected { network: String, container: String },
    #[error("cannot publish port {port}/{protocol}: {}", taken(*.address, *.port, .holder))]
    PortTaken { address: IpAddr, port: u16, protocol: Protocol, holder: Option<String> },
    #[error("all ports of {protocol} that are given out at random are allocated")]
    NoFreePort { protocol: Protocol },
    #[error("cannot publish ports: {0}")]
    InvalidPorts(String),
    #[error(
        "{program} is not installed, which connects an ordinary user's containers: {}",
        crate::NO_USER_MODE
    )]
    NoUserMode { program: &'static str },
    #[error(
        "{program} connects an ordinary user's containers through /dev/net/tun, which {}, or take --network none or --network host",
        if *missing { "is not there: as root, modprobe tun" } else { "only root may open here: as root, chmod 666 /dev/net/tun" }
    )]
    NoTunnel { program: &'static str, missing: bool },
    #[error("{program} can't connect the container: {message}")]
    UserMode { program: &'static str, message: String },
    #[error("{operation} {object}: {refusal}")]
    Kernel { operation: &'static str, object: String, refusal: Refusal },
    #[error("this kernel has no {what}, which {whom} needs")]
    NotInKernel { what: String, whom: String },
    #[error("{operation} {}: {source}", path.display())]
    File { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("read {}: {source}", path.display())]
    Malformed { path: PathBuf, source: serde_json::Error },
    #[error("CNI plugin {plugin} of network {network}: {message}")]
    Cni { network: String, plugin: String, message: String },
}

/// The kinds of errors, as a server has to tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no such object.
    NotFound,
    /// It is there already, or in use.
    Conflict,
    /// What was asked for makes no sense.
    Invalid,
    /// It may not be done.
    Forbidden,
    /// The system did not do it.
    System,
}

impl Error {
    /// Of which kind it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchNetwork(_) | Self::NoSuchDriver(_) | Self::NotConnected { .. } => ErrorKind::NotFound,
            Self::NameTaken(_) | Self::AddressTaken { .. } | Self::AlreadyConnected { .. } => {
                ErrorKind::Conflict
            }
            Self::Predefined(..) | Self::InUse { .. } | Self::Overlap { .. } | Self::RouteOverlap { .. } => {
                ErrorKind::Forbidden
            }
            Self::Ambiguous { .. }
            | Self::InvalidName(_)
            | Self::InvalidOption { .. }
            | Self::InvalidConfig(_)
            | Self::InvalidSubnet(_)
            | Self::InvalidMac(_)
            | Self::InvalidPorts(_)
            | Self::AddressOutside { .. }
            | Self::AddressReserved { .. } => ErrorKind::Invalid,
            _ => ErrorKind::System,
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::InUse { .. } => Some("disconnect them first, or remove the network with --force".into()),
            Self::Overlap { .. } | Self::RouteOverlap { .. } => {
                Some("choose another --subnet, or leave it out: berth finds one that is free".into())
            }
            Self::NoFreeSubnet(_) => Some(
                "name one with --subnet, or remove networks that nobody uses: berth network prune".into(),
            ),
            Self::Exhausted { .. } => {
                Some("remove containers, or make a network with a larger --subnet".into())
            }
            Self::PortTaken { .. } => {
                Some("publish another port of the host: -p HOST_PORT:CONTAINER_PORT".into())
            }
            Self::NotInKernel { .. } => Some(
                "load the module that has it (modprobe), or boot a kernel that is built with it; a container has \
                 --network none and host without any driver"
                    .into(),
            ),
            Self::NoSuchDriver(_) => Some(format!("drivers are {}", crate::Driver::NAMES.join(", "))),
            Self::Kernel { refusal, .. }
                if refusal.errno == Errno::PERM || refusal.errno == Errno::ACCESS =>
            {
                Some("this takes CAP_NET_ADMIN: run it as root".into())
            }
            Self::Kernel { refusal, .. } if refusal.errno == Errno::OPNOTSUPP => {
                Some("the kernel lacks a driver: see which modules can be loaded".into())
            }
            _ => None,
        }
    }

    /// A refusal of the kernel.
    pub(crate) fn kernel(
        operation: &'static str,
        object: impl ToString,
        refusal: impl Into<Refusal>,
    ) -> Self {
        Self::Kernel { operation, object: object.to_string(), refusal: refusal.into() }
    }

    /// A file that can't be had.
    pub(crate) fn file(operation: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::File { operation, path: path.to_owned(), source: source.into() }
    }
}

/// An id as Docker prints it.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn taken(address: IpAddr, port: u16, holder: &Option<String>) -> String {
    let address = std::net::SocketAddr::new(address, port);
    match holder {
        Some(holder) => format!("{address} is already in use by {holder}"),
        None => format!("{address} is already in use"),
    }
}
