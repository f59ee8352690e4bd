//! `berth ps`

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use engine::{Filters, ListQuery, Port, Summary};
use serde_json::{Value, json};

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::format::{Column, LABELS, List, Row};
use crate::commands::output::{print, units};

#[derive(Args)]
pub struct Ls {
    /// Show all containers, not only those that run
    #[arg(short, long)]
    all: bool,
    /// Show containers that fit: ancestor, before, expose, exited, health, id, label, name, network, publish, since,
    /// status or volume, as NAME=VALUE
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// A Go template, `table TEMPLATE`, or `json`
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show the N containers that were made last, whatever their state; -1 for no limit
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true, default_value_t = -1, hide_default_value = true)]
    last: i64,
    /// Show the container that was made last, whatever its state
    #[arg(short, long)]
    latest: bool,
    /// Don't shorten anything
    #[arg(long)]
    no_trunc: bool,
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Show sizes
    #[arg(short, long)]
    size: bool,
}

const COLUMNS: &[Column] = &[
    Column { header: "CONTAINER ID", field: "ID" },
    Column { header: "IMAGE", field: "Image" },
    Column { header: "COMMAND", field: "Command" },
    Column { header: "CREATED", field: "RunningFor" },
    Column { header: "CREATED AT", field: "CreatedAt" },
    Column { header: "STATUS", field: "Status" },
    Column { header: "STATE", field: "State" },
    Column { header: "PORTS", field: "Ports" },
    Column { header: "NAMES", field: "Names" },
    Column { header: "SIZE", field: "Size" },
    Column { header: "LABELS", field: "Labels" },
    Column { header: "MOUNTS", field: "Mounts" },
    Column { header: "LOCAL VOLUMES", field: "LocalVolumes" },
    Column { header: "NETWORKS", field: "Networks" },
    Column { header: "PLATFORM", field: "Platform" },
];

/// The lengths that commands and names of volumes are cut to.
const COMMAND_LENGTH: usize = 20;
const MOUNT_LENGTH: usize = 15;

impl Ls {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let sized = self.size || self.format.as_ref().is_some_and(|format| format.contains(".Size"));
        let query = ListQuery {
            all: self.all,
            last: if self.latest { Some(1) } else { usize::try_from(self.last).ok() },
            size: sized && !self.quiet,
            filters: Filters::parse(self.filter.iter().map(String::as_str))?,
        };
        let found = engine.list(&query)?;
        if self.quiet {
            let ids = found.iter().map(|summary| format!("{}\n", self.id(summary)));
            print(&ids.collect::<String>())?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut default = vec!["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];
        default.extend(self.size.then_some("Size"));
        let rows: Vec<Row> = found.iter().map(|summary| self.row(summary)).collect();
        print(&List { columns: COLUMNS, default: &default }.render(self.format.as_deref(), &rows)?)?;
        Ok(ExitCode::SUCCESS)
    }

    fn id<'a>(&self, summary: &'a Summary) -> &'a str {
        if self.no_trunc { &summary.id } else { short(&summary.id) }
    }

    fn row(&self, summary: &Summary) -> Row {
        let (state, row) = (&summary.state, &summary.state.row);
        let cut = |text: &str, length| if self.no_trunc { text.to_owned() } else { ellipsis(text, length) };
        let mounts: Vec<String> = row.mounts.iter().map(|mount| cut(mount, MOUNT_LENGTH)).collect();
        let volumes = row.mounts.iter().filter(|mount| !mount.starts_with('/')).count();
        let labels: Vec<String> = row.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let image = match row.image.strip_prefix("sha256:") {
            Some(digest) if !self.no_trunc => short(digest),
            _ => &row.image,
        };
        let fields: [(&str, Value); 16] = [
            ("ID", self.id(summary).into()),
            ("Image", image.into()),
            ("Command", quoted(&cut(&row.command, COMMAND_LENGTH)).into()),
            ("CreatedAt", units::timestamp(Some(&row.created)).into()),
            ("RunningFor", units::ago(Some(&row.created)).into()),
            ("Status", state.text_now().into()),
            ("State", state.status.as_str().into()),
            ("Ports", ports(&state.ports, &row.exposed, state.status.is_active()).into()),
            ("Names", row.name.as_str().into()),
            ("Size", size(summary.size).into()),
            ("Labels", labels.join(",").into()),
            ("Mounts", mounts.join(",").into()),
            ("LocalVolumes", volumes.to_string().into()),
            ("Networks", row.networks.join(",").into()),
            ("Platform", Value::Null),
            (LABELS, json!(row.labels)),
        ];
        fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
    }
}

/// The first twelve digits of an id.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// A text of at most `length` characters, of which the last is an ellipsis where something is missing.
fn ellipsis(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let kept: String = text.chars().take(length - 1).collect();
    kept + "…"
}

/// A text in quotes, as Go writes it: nothing in it can move the cursor.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted += "\\n",
            '\t' => quoted += "\\t",
            '\r' => quoted += "\\r",
            c if c.is_control() => {
                // Into a string: never an error.
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// Bytes changed, and with the image's.
fn size(size: Option<(u64, u64)>) -> String {
    match size {
        None => "0B".to_owned(),
        Some((own, whole)) if whole > 0 => {
            format!("{} (virtual {})", units::size(own, 3), units::size(whole, 3))
        }
        Some((own, _)) => units::size(own, 3),
    }
}

/// Ports as Docker shows them: `0.0.0.0:8080->80/tcp, 443/tcp`, with ranges for neighbours.
fn ports(published: &[Port], exposed: &[String], running: bool) -> String {
    let mut all: Vec<Port> = if running { published.to_vec() } else { Vec::new() };
    for port in exposed.iter().filter(|_| running) {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let Ok(number) = number.parse() else { continue };
        if !all.iter().any(|port| port.private_port == number && port.r#type == protocol) {
            all.push(Port { private_port: number, r#type: protocol.to_owned(), ..Port::default() });
        }
    }
    all.sort_by(|a, b| {
        let key =
            |port: &Port| (port.ip.clone(), port.public_port == 0, port.r#type.clone(), port.private_port);
        key(a).cmp(&key(b)).then(a.public_port.cmp(&b.public_port))
    });
    all.sort_by_key(|port| port.public_port == 0);
    let mut shown: Vec<String> = Vec::new();
    let mut rest = &all[..];
    while let Some(first) = rest.first() {
        let neighbours = rest.windows(2).take_while(|pair| follows(&pair[0], &pair[1])).count();
        shown.push(range(first, &rest[neighbours]));
        rest = &rest[neighbours + 1..];
    }
    shown.join(", ")
}

fn follows(port: &Port, next: &Port) -> bool {
    let public = if port.public_port == 0 { 0 } else { port.public_port.saturating_add(1) };
    next.ip == port.ip
        && next.r#type == port.r#type
        && next.private_port == port.private_port.saturating_add(1)
        && next.public_port == public
}

fn range(first: &Port, last: &Port) -> String {
    let span = |from: u16, to: u16| if from == to { from.to_string() } else { format!("{from}-{to}") };
    let private = span(first.private_port, last.private_port);
    if first.public_port == 0 {
        return format!("{private}/{}", first.r#type);
    }
    let address = if first.ip.contains(':') { format!("[{}]", first.ip) } else { first.ip.clone() };
    format!("{address}:{}->{private}/{}", span(first.public_port, last.public_port), first.r#type)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, public_port: u16, private_port: u16, protocol: &str) -> Port {
        Port { ip: ip.to_owned(), private_port, public_port, r#type: protocol.to_owned() }
    }

    #[test]
    fn neighbouring_ports_are_one_range() {
        let published = [
            port("0.0.0.0", 8081, 81, "tcp"),
            port("0.0.0.0", 8080, 80, "tcp"),
            port("::", 8080, 80, "tcp"),
            port("127.0.0.1", 53, 53, "udp"),
        ];
        let exposed = ["80/tcp", "9000/tcp", "9001/tcp", "9001/udp"].map(str::to_owned);
        assert_eq!(
            ports(&published, &exposed, true),
            "0.0.0.0:8080-8081->80-81/tcp, 127.0.0.1:53->53/udp, [::]:8080->80/tcp, 9000-9001/tcp, 9001/udp"
        );
        assert_eq!(ports(&published, &exposed, false), "");
    }

    #[test]
    fn commands_are_cut_and_quoted() {
        assert_eq!(ellipsis("sleep infinity", 20), "sleep infinity");
        assert_eq!(ellipsis("/docker-entrypoint.sh nginx", 20), "/docker-entrypoint.…");
        assert_eq!(quoted("sh -c \"\x1b[2J\n\""), "\"sh -c \\\"\\x1b[2J\\n\\\"\"");
    }

    #[test]
    fn sizes_are_own_and_virtual() {
        assert_eq!(size(Some((0, 7_800_000))), "0B (virtual 7.8MB)");
        assert_eq!(size(None), "0B");
    }
}
