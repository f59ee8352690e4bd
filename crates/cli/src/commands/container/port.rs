//! `berth port`

use std::process::ExitCode;

use clap::Args;
use engine::Port as Published;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::print;

#[derive(Args)]
pub struct Port {
    /// Name or id
    container: String,
    /// Show only where this port is published
    #[arg(value_name = "PORT[/PROTOCOL]")]
    port: Option<String>,
}

impl Port {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        let mut ports = engine.state(&container)?.ports;
        ports.retain(|port| port.public_port != 0);
        ports.sort();
        let Some(wanted) = &self.port else {
            let lines = ports.iter().map(|port| format!("{} -> {}\n", name(port), address(port)));
            print(&lines.collect::<String>())?;
            return Ok(ExitCode::SUCCESS);
        };
        let wanted = if wanted.contains('/') { wanted.clone() } else { format!("{wanted}/tcp") };
        let found: String =
            ports.iter().filter(|port| name(port) == wanted).map(|port| address(port) + "\n").collect();
        if found.is_empty() {
            return Err(format!("no public port '{wanted}' published for {}", self.container).into());
        }
        print(&found)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn name(port: &Published) -> String {
    format!("{}/{}", port.private_port, port.r#type)
}

fn address(port: &Published) -> String {
    let ip = &port.ip;
    if ip.contains(':') {
        format!("[{ip}]:{}", port.public_port)
    } else {
        format!("{ip}:{}", port.public_port)
    }
}
