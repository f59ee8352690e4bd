//! `berth network ls`

use std::process::ExitCode;

use clap::Args;
use engine::Filters;
use network::{Network, Networks};
use serde_json::{Value, json};

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::format::{Column, LABELS, List, Row};
use crate::commands::output::print;

#[derive(Args)]
pub struct Ls {
    /// Show networks that fit: dangling, driver, id, label, name, scope or type, as NAME=VALUE
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// A Go template, `table TEMPLATE`, or `json`
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
}

const LIST: List<'_> = List {
    columns: &[
        Column { header: "NETWORK ID", field: "ID" },
        Column { header: "NAME", field: "Name" },
        Column { header: "DRIVER", field: "Driver" },
        Column { header: "SCOPE", field: "Scope" },
        Column { header: "IPV4", field: "IPv4" },
        Column { header: "IPV6", field: "IPv6" },
        Column { header: "INTERNAL", field: "Internal" },
        Column { header: "LABELS", field: "Labels" },
        Column { header: "CREATED AT", field: "CreatedAt" },
    ],
    default: &["ID", "Name", "Driver", "Scope"],
};

const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "label!", "name", "scope", "type"];

impl Ls {
    pub fn run(self, context: &Context) -> Outcome {
        let networks = context.engine()?.networks();
        let filters = Filters::parse(self.filter.iter().map(String::as_str))?;
        filters.only(FILTERS)?;
        let mut found = Vec::new();
        for network in networks.list_all()? {
            if fits(&networks, &network, &filters)? {
                found.push(network);
            }
        }
        let id = |network: &Network| match self.no_trunc {
            true => network.id.clone(),
            false => network.id.chars().take(12).collect(),
        };
        if self.quiet {
            print(&found.iter().map(|network| format!("{}\n", id(network))).collect::<String>())?;
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<Row> = found.iter().map(|network| row(network, id(network))).collect();
        print(&LIST.render(self.format.as_deref(), &rows)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Whether a network is there from the first use on.
pub fn is_builtin(network: &Network) -> bool {
    ["bridge", "host", "none"].contains(&network.name.as_str())
}

fn fits(
    networks: &Networks,
    network: &Network,
    filters: &Filters,
) -> Result<bool, Box<dyn std::error::Error>> {
    let dangling = |wanted: &String| -> Result<bool, network::Error> {
        let unused = !is_builtin(network) && networks.inspect(&network.id)?.containers.is_empty();
        Ok(unused == matches!(wanted.as_str(), "true" | "1"))
    };
    for wanted in filters.get("dangling") {
        if !dangling(wanted)? {
            return Ok(false);
        }
    }
    let kind = if is_builtin(network) { "builtin" } else { "custom" };
    Ok(filters.any("driver", |driver| driver == network.driver.name())
        && filters.any("id", |id| network.id.starts_with(id.as_str()))
        && filters.any("scope", |scope| *scope == network.scope)
        && filters.any("type", |wanted| wanted == kind)
        && filters.labels(&network.labels)
        && filters.matches("name", &network.name)?)
}

fn row(network: &Network, id: String) -> Row {
    let labels: Vec<String> = network.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let fields: [(&str, Value); 10] = [
        ("CreatedAt", network.created.clone().into()),
        ("Driver", network.driver.name().into()),
        ("ID", id.into()),
        ("IPv4", network.enable_ipv4.to_string().into()),
        ("IPv6", network.enable_ipv6.to_string().into()),
        ("Internal", network.internal.to_string().into()),
        ("Labels", labels.join(",").into()),
        ("Name", network.name.clone().into()),
        ("Scope", network.scope.clone().into()),
        (LABELS, json!(network.labels)),
    ];
    fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
}
