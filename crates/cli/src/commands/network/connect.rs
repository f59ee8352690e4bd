//! `berth network connect` and `disconnect`

use std::process::ExitCode;

use clap::Args;
use engine::Kind;
use engine::config::{EndpointIpam, EndpointSettings};

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::values::key_value;

#[derive(Args)]
pub struct Connect {
    /// A further name of the container in this network
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// An option of the driver
    #[arg(long, value_name = "NAME=VALUE")]
    driver_opt: Vec<String>,
    /// The highest number has the default route
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true)]
    gw_priority: i64,
    /// A fixed IPv4 address
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    ip: String,
    /// A fixed IPv6 address
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    ip6: String,
    /// A container that it finds under another name
    #[arg(long, value_name = "CONTAINER[:ALIAS]")]
    link: Vec<String>,
    /// The network
    #[arg(value_name = "NETWORK")]
    network: String,
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
}

#[derive(Args)]
pub struct Disconnect {
    /// Disconnect a container that is no more as well
    #[arg(short, long)]
    force: bool,
    /// The network
    #[arg(value_name = "NETWORK")]
    network: String,
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Connect {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        let options = self.driver_opt.iter().map(|pair| key_value(pair)).collect();
        let ipam = EndpointIpam { ipv4_address: self.ip, ipv6_address: self.ip6, ..EndpointIpam::default() };
        let asked = EndpointSettings {
            ipam_config: (ipam != EndpointIpam::default()).then_some(ipam),
            links: (!self.link.is_empty()).then_some(self.link),
            aliases: (!self.alias.is_empty()).then_some(self.alias),
            driver_opts: (!self.driver_opt.is_empty()).then_some(options),
            gw_priority: self.gw_priority,
            ..EndpointSettings::default()
        };
        engine.join_network(&container, &self.network, &asked)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Disconnect {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        match engine.find(&self.container) {
            Ok(container) => engine.leave_network(&container, &self.network)?,
            // What it left behind goes with the next look at what is left.
            Err(error) if self.force && error.kind() == Kind::NotFound => engine.networks().reclaim()?,
            Err(error) => return Err(error.into()),
        }
        Ok(ExitCode::SUCCESS)
    }
}
