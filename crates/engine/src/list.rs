//! `ps`: one small file a container.

use std::collections::BTreeSet;

use crate::clock;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::filters::Filters;
use crate::state::{Health, State, Status};

/// Which containers.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Also those that do not run.
    pub all: bool,
    /// The last so many that were made, in any state.
    pub last: Option<usize>,
    /// Whether the size is measured.
    pub size: bool,
    /// Docker's filters.
    pub filters: Filters,
}

/// A container as `ps` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its id.
    pub id: String,
    /// What it is.
    pub state: State,
    /// Bytes that it has changed, and of its whole root, where asked for.
    pub size: Option<(u64, u64)>,
}

const FILTERS: [&str; 16] = [
    "ancestor",
    "before",
    "expose",
    "exited",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "label!",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

impl Engine {
    /// The containers that are asked for, the newest first.
    ///
    /// # Errors
    /// A filter that is none, or records that can't be read.
    pub fn list(&self, query: &ListQuery) -> Result<Vec<Summary>> {
        query.filters.only(&FILTERS)?;
        let _ = self.settle_changing(&self.own_networks());
        let mut found = Vec::new();
        let wanted = Wanted::new(self, query)?;
        for id in self.ids()? {
            let state = match self.state_of(&id) {
                Ok(Some(state)) => state,
                Ok(None) => continue,
                // One that is damaged hides no other: it can be removed by its id.
                Err(Error::Damaged { .. }) => State { status: Status::Dead, ..State::default() },
                Err(error) => return Err(error),
            };
            if wanted.state(&state) && wanted.matches(&id, &state)? {
                found.push(Summary { id, state, size: None });
            }
        }
        // RFC 3339 in UTC sorts as time does.
        found.sort_by(|a, b| b.state.row.created.cmp(&a.state.row.created));
        if let Some(last) = query.last {
            found.truncate(last);
        }
        if query.size {
            for summary in &mut found {
                summary.size = Some(self.size_of(&summary.id, &summary.state)?);
            }
        }
        Ok(found)
    }

    /// The id of the image that a name or id means here.
    fn image_id(&self, name: &str) -> Option<String> {
        let candidates = name.parse().into_iter().collect::<Vec<oci::Reference>>();
        let image = self.images().ok()?.find(name, &candidates).ok()?;
        Some(image.id().to_string())
    }

    /// Bytes that a container has changed, and of its whole root.
    pub(crate) fn size_of(&self, id: &str, state: &State) -> Result<(u64, u64)> {
        let images = self.images()?;
        let own = images.snapshots().snapshot(id)?.usage()?.bytes;
        let image = images.find(&state.row.image_id, &[]);
        let layers = image.map(|image| images.size(&image.manifest, &image.config)).unwrap_or_default();
        Ok((own, own + layers))
    }
}

/// A query with what it refers to looked up.
struct Wanted<'a> {
    query: &'a ListQuery,
    statuses: BTreeSet<&'a str>,
    before: Option<String>,
    since: Option<String>,
    ancestors: Vec<String>,
}

impl<'a> Wanted<'a> {
    fn new(engine: &Engine, query: &'a ListQuery) -> Result<Wanted<'a>> {
        let filters = &query.filters;
        let statuses: BTreeSet<&str> = filters.get("status").iter().map(String::as_str).collect();
        const KNOWN: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];
        if let Some(unknown) = statuses.iter().find(|status| !KNOWN.contains(status)) {
            return Err(Error::Invalid(format!(
                "invalid filter 'status={unknown}': known are {}",
                KNOWN.join(", ")
            )));
        }
        let made = |name: &str| filters.get(name).first().map(|text| engine.find(text)).transpose();
        let (before, since) = (made("before")?, made("since")?);
        let ancestors = filters.get("ancestor").iter().filter_map(|name| engine.image_id(name)).collect();
        Ok(Wanted {
            query,
            statuses,
            before: before.map(|container| container.created),
            since: since.map(|container| container.created),
            ancestors,
        })
    }

    /// Whether containers of this status are shown at all.
    fn state(&self, state: &State) -> bool {
        if !self.statuses.is_empty() {
            return self.statuses.contains(state.status.as_str());
        }
        let filters = &self.query.filters;
        let any = self.query.all
            || self.query.last.is_some()
            || ["exited", "before", "since"].iter().any(|name| !filters.get(name).is_empty());
        any || state.status.is_active()
    }

    fn matches(&self, id: &str, state: &State) -> Result<bool> {
        let (filters, row) = (&self.query.filters, &state.row);
        let exited = |code: &String| state.status == Status::Exited && code.parse() == Ok(state.exit_code);
        let port = |wanted: &String, of: &dyn Fn(&crate::state::Port) -> u16| port_in(wanted, state, of);
        Ok(filters.any("id", |prefix| id.starts_with(prefix.as_str()))
            && (filters.matches("name", &row.name)? || filters.matches("name", &format!("/{}", row.name))?)
            && filters.labels(&row.labels)
            && filters.any("exited", exited)
            && filters.any("health", |health| state.health.as_str() == health)
            && filters.any("is-task", |wanted| wanted != "true" && wanted != "1")
            && filters.any("isolation", |wanted| wanted == "default" || wanted.is_empty())
            && filters.any("volume", |volume| row.mounts.contains(volume))
            && filters.any("network", |network| {
                row.networks.contains(network) || state.networks.contains_key(network)
            })
            && filters.any("publish", |wanted| port(wanted, &|port| port.public_port))
            && filters.any("expose", |wanted| {
                port(wanted, &|port| port.private_port)
                    || row.exposed.iter().any(|port| port_is(wanted, port))
            })
            && (self.ancestors.is_empty() || self.is_descendant(state))
            && self.before.as_ref().is_none_or(|before| row.created < *before)
            && self.since.as_ref().is_none_or(|since| row.created > *since))
    }

    fn is_descendant(&self, state: &State) -> bool {
        let row = &state.row;
        let asked = self.query.filters.get("ancestor");
        self.ancestors.contains(&row.image_id) || asked.contains(&row.image)
    }
}

/// `80`, `80/tcp`, `8000-8080/tcp`.
fn port_in(wanted: &str, state: &State, of: &dyn Fn(&crate::state::Port) -> u16) -> bool {
    state.ports.iter().any(|port| port_is(wanted, &format!("{}/{}", of(port), port.r#type)))
}

fn port_is(wanted: &str, port: &str) -> bool {
    let split = |text: &str| {
        let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        Some((first.parse::<u16>().ok()?, last.parse::<u16>().ok()?, protocol.to_owned()))
    };
    match (split(wanted), split(port)) {
        (Some((first, last, wanted)), Some((from, to, protocol))) => {
            wanted == protocol && from <= last && first <= to
        }
        _ => false,
    }
}

impl State {
    /// What `ps` says under STATUS, at `now` (nanoseconds since 1970).
    pub fn text(&self, now: i64) -> String {
        match self.status {
            Status::Running => {
                let health = match self.health {
                    Health::None => "",
                    Health::Starting => " (health: starting)",
                    Health::Healthy => " (healthy)",
                    Health::Unhealthy => " (unhealthy)",
                };
                format!("Up {}{health}", clock::since(&self.started_at, now))
            }
            Status::Paused => format!("Up {} (Paused)", clock::since(&self.started_at, now)),
            Status::Restarting => {
                format!("Restarting ({}) {} ago", self.exit_code, clock::since(&self.finished_at, now))
            }
            Status::Removing => "Removal In Progress".into(),
            Status::Dead => "Dead".into(),
            Status::Created => "Created".into(),
            Status::Exited => {
                format!("Exited ({}) {} ago", self.exit_code, clock::since(&self.finished_at, now))
            }
        }
    }

    /// The same now.
    pub fn text_now(&self) -> String {
        self.text(clock::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_as_docker_tells_them() {
        let now = 1_764_150_000_000_000_000;
        let then = clock::text(now - 125_000_000_000);
        let state = |status, health| State {
            status,
            health,
            exit_code: 3,
            started_at: then.clone(),
            finished_at: then.clone(),
            ..State::default()
        };
        assert_eq!(state(Status::Running, Health::None).text(now), "Up 2 minutes");
        assert_eq!(state(Status::Running, Health::Starting).text(now), "Up 2 minutes (health: starting)");
        assert_eq!(state(Status::Paused, Health::Healthy).text(now), "Up 2 minutes (Paused)");
        assert_eq!(state(Status::Exited, Health::None).text(now), "Exited (3) 2 minutes ago");
        assert_eq!(state(Status::Created, Health::None).text(now), "Created");
    }

    #[test]
    fn ports_are_numbers_and_ranges() {
        assert!(port_is("80", "80/tcp") && port_is("70-90/tcp", "80/tcp") && port_is("80/udp", "80/udp"));
        assert!(!port_is("80/udp", "80/tcp") && !port_is("81-90", "80/tcp") && !port_is("x", "80/tcp"));
    }
}
