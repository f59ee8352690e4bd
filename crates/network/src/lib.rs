//! Networks of containers: bridges, veth pairs, addresses, routes, rules for published ports, names; all by netlink from
//! the one process that needs them, and no daemon.
//!
//! [`Networks`] is what there is on disk. The engine connects a container with [`Networks::attach`], while the container
//! mounts its root, and disconnects it with [`Networks::detach`]; what is needed for the latter is on disk before anything
//! is made, so that a SIGKILL at any instant leaves nothing that [`Networks::reclaim`] does not find.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::os::fd::AsFd;
//! let networks = network::Networks::open("/var/lib/berth".as_ref(), "/run/berth".as_ref());
//! let endpoint = network::EndpointRequest { network: network::DEFAULT.into(), ..Default::default() };
//! let request = network::AttachRequest {
//!     container: "4f1a…".into(),
//!     name: "web".into(),
//!     endpoints: vec![endpoint],
//!     ..Default::default()
//! };
//! let namespace = std::fs::File::open("/proc/4711/ns/net")?;
//! let attachment = networks.attach(&request, namespace.as_fd())?;
//! println!("{:?}", attachment.endpoints[0].ipv4);
//! networks.detach("4f1a…")?;
//! # Ok(())
//! # }
//! ```

mod address;
mod attach;
mod bridge;
mod changes;
mod cni;
mod connect;
mod detach;
mod disk;
mod dns;
mod driver;
mod endpoint;
mod error;
mod firewall;
mod leases;
mod link;
mod listeners;
mod mac;
mod map;
mod names;
mod network;
mod networks;
mod plan;
mod pools;
mod ports;
mod program;
mod rate;
mod settings;
mod subnet;
mod sysctl;
mod user_mode;

#[cfg(fuzzing)]
pub use dns::dns_messages_hold;
pub use dns::{RESOLVER, Resolver, Trace, TraceStep};
pub use endpoint::{
    AttachRequest, Attachment, Endpoint, EndpointRequest, PortRequest, Protocol, PublishedPorts,
};
pub use error::{Error, ErrorKind, Result};
pub use link::Traffic;
pub use mac::{InvalidMac, Mac};
pub use map::{Map, MappedContainer, MappedNetwork};
pub use network::{ConfigFrom, Driver, Ipam, Member, Network, Pool};
pub use networks::{CreateRequest, DEFAULT, DEFAULT_LINK, Liveness, Networks};
pub use settings::{GatewayMode, Settings, Vxlan};
pub use subnet::{InvalidSubnet, Subnet};
use user_mode::NO_USER_MODE;
pub use user_mode::{USER_RESOLVER, UserMode, UserNetwork, UserRequest};
