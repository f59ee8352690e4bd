//! `berth network create`

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::ExitCode;

use clap::Args;
use network::{CreateRequest, Error, Ipam, Pool, Subnet};

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::print;
use crate::commands::values::key_value;

#[derive(Args)]
pub struct Create {
    /// Let containers connect while they run; it is always so
    #[arg(long)]
    attachable: bool,
    /// Addresses of others that no container gets
    #[arg(long, value_name = "NAME=ADDRESS")]
    aux_address: Vec<String>,
    /// The driver: bridge, macvlan, ipvlan, vxlan, host-device or cni
    #[arg(short, long, value_name = "DRIVER", default_value = "bridge")]
    driver: String,
    /// The gateway of a subnet
    #[arg(long, value_name = "ADDRESS")]
    gateway: Vec<IpAddr>,
    /// No routing to other networks and the world
    #[arg(long)]
    internal: bool,
    /// Containers get addresses out of this part of a subnet
    #[arg(long, value_name = "SUBNET")]
    ip_range: Vec<Subnet>,
    /// Where addresses come from: default
    #[arg(long, value_name = "DRIVER", default_value = "default")]
    ipam_driver: String,
    /// An option of the address driver
    #[arg(long, value_name = "NAME=VALUE")]
    ipam_opt: Vec<String>,
    /// Give addresses of IPv4 [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ipv4: Option<bool>,
    /// Give addresses of IPv6 [default: true, where the host has it]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ipv6: Option<bool>,
    /// Set a label
    #[arg(long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// An option of the driver: com.docker.network.…, parent=LINK, id=NUMBER, peers=ADDRESS,…
    #[arg(short, long, value_name = "NAME=VALUE")]
    opt: Vec<String>,
    /// How far it reaches: local
    #[arg(long, value_name = "SCOPE", default_value = "local")]
    scope: String,
    /// A subnet [default: one that is free]
    #[arg(long, value_name = "SUBNET")]
    subnet: Vec<Subnet>,
    /// Its name
    #[arg(value_name = "NETWORK")]
    name: String,
}

impl Create {
    pub fn run(self, context: &Context) -> Outcome {
        let pairs = |pairs: &[String]| pairs.iter().map(|pair| key_value(pair)).collect();
        let invalid = |text: String| Error::InvalidConfig(text);
        if self.ipam_driver != "default" {
            return Err(invalid(format!("there is no address driver {:?}", self.ipam_driver)).into());
        }
        if self.scope != "local" {
            return Err(invalid(format!("there is no scope {:?}: networks are local", self.scope)).into());
        }
        let config = pools(&self)?;
        let request = CreateRequest {
            name: self.name,
            driver: self.driver,
            internal: self.internal,
            attachable: self.attachable,
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            ipam: Ipam { options: pairs(&self.ipam_opt), config, ..Ipam::default() },
            options: pairs(&self.opt),
            labels: pairs(&self.label),
        };
        let network = context.engine()?.networks().create(&request)?;
        print(&format!("{}\n", network.id))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Each subnet with the gateway, range and addresses that lie in it.
fn pools(flags: &Create) -> Result<Vec<Pool>, Error> {
    let pool =
        |subnet: &Subnet| Pool { subnet: *subnet, range: None, gateway: None, auxiliary: BTreeMap::new() };
    let mut pools: Vec<Pool> = flags.subnet.iter().map(pool).collect();
    for range in &flags.ip_range {
        let of = of(&mut pools, range.address(), "IP range")?;
        twice(of.range.replace(*range).is_some(), "IP range", of.subnet)?;
    }
    for gateway in &flags.gateway {
        let of = of(&mut pools, *gateway, "gateway")?;
        twice(of.gateway.replace(*gateway).is_some(), "gateway", of.subnet)?;
    }
    for pair in &flags.aux_address {
        let (name, address) = key_value(pair);
        let address = address.parse().map_err(|_| {
            Error::InvalidConfig(format!("invalid auxiliary address {pair:?}: expected NAME=ADDRESS"))
        })?;
        of(&mut pools, address, "auxiliary address")?.auxiliary.insert(name, address);
    }
    Ok(pools)
}

fn of<'a>(pools: &'a mut [Pool], address: IpAddr, what: &str) -> Result<&'a mut Pool, Error> {
    let found = pools.iter_mut().find(|pool| pool.subnet.contains(address));
    found.ok_or_else(|| {
        Error::InvalidConfig(format!("no matching subnet for {what} {address}: name one with --subnet"))
    })
}

fn twice(twice: bool, what: &str, subnet: Subnet) -> Result<(), Error> {
    if twice {
        Err(Error::InvalidConfig(format!("subnet {subnet} can have one {what} only")))
    } else {
        Ok(())
    }
}
