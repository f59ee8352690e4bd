//! What has happened: an append-only log that all processes write to and any may follow.
//!
//! ```text
//! events/events.jsonl             one event a line, written by one write(2) with O_APPEND: lines never mix
//!        events-<nanos>.jsonl     what was written before, KEPT files of about ROTATE_AT bytes
//! ```
//! There is no lock. Whoever finds the file large renames it; a writer that had it open then still writes to the
//! renamed one, which is why followers go on reading the files that they know. A line cut short by a full disk or a
//! power cut is skipped.

mod follow;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::error::{Error, Result};
use crate::filters::Filters;
use crate::record::make_directory;

/// Bytes of a file that make it an old one.
const ROTATE_AT: u64 = 4 << 20;
/// Old files that are kept.
const KEPT: usize = 4;

/// Something that happened, in Docker's JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Containers and images: the action again, as old clients expect it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// Containers and images: the id again.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Containers: the image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// `container`, `image`, `network`, `volume`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// `create`, `start`, `die`, …
    #[serde(rename = "Action")]
    pub action: String,
    /// What it happened to.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// Always `local`.
    pub scope: String,
    /// Seconds since 1970.
    pub time: i64,
    /// Nanoseconds since 1970.
    #[serde(rename = "timeNano")]
    pub time_nano: i64,
}

/// What an event happened to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Actor {
    /// Its id, or name.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name, labels and what else is known.
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// From this instant on, in nanoseconds since 1970; none begins with what happens from now on.
    pub since: Option<i64>,
    /// Up to this instant; none waits for more.
    pub until: Option<i64>,
    /// `container`, `daemon`, `event`, `image`, `label`, `network`, `scope`, `type`, `volume`.
    pub filters: Filters,
}

/// The log of events at a directory.
#[derive(Clone, Debug)]
pub struct Events {
    directory: PathBuf,
}

impl Event {
    /// An event of now.
    pub fn new(kind: &str, action: &str, id: &str, attributes: BTreeMap<String, String>) -> Event {
        let now = clock::now();
        let (is_container, is_image) = (kind == "container", kind == "image");
        let legacy = |text: &str| if is_container || is_image { text.to_owned() } else { String::new() };
        Event {
            status: legacy(action),
            id: legacy(id),
            from: attributes.get("image").filter(|_| is_container).cloned().unwrap_or_default(),
            kind: kind.into(),
            action: action.into(),
            actor: Actor { id: id.into(), attributes },
            scope: "local".into(),
            time: now / 1_000_000_000,
            time_nano: now,
        }
    }
}

impl Events {
    /// The log at `directory`; it is made with the first event.
    pub fn new(directory: PathBuf) -> Events {
        Events { directory }
    }

    /// Writes down what happened. A full disk loses an event, but stops no container: there is no error.
    pub fn emit(&self, events: &[Event]) {
        let mut text = Vec::with_capacity(1024);
        for event in events {
            // Of strings and numbers: always JSON.
            let _ = serde_json::to_writer(&mut text, event);
            text.push(b'\n');
        }
        let Ok(mut file) = self.open_for_append() else { return };
        if file.write_all(&text).is_ok() && file.metadata().is_ok_and(|file| file.len() > ROTATE_AT) {
            self.rotate();
        }
    }

    fn open_for_append(&self) -> Result<File> {
        let path = self.current();
        let open = || {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
            rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)).map(File::from)
        };
        let opened = match open() {
            Err(Errno::NOENT) => {
                make_directory(&self.directory, 0o700)?;
                open()
            }
            opened => opened,
        };
        opened.map_err(|errno| Error::io("open", path, errno))
    }

    fn rotate(&self) {
        let old = self.directory.join(format!("events-{:020}.jsonl", clock::now()));
        // Another was quicker: then the file that is there now is small, and an old one too soon. No harm.
        let _ = renameat_with(CWD, self.current(), CWD, old, RenameFlags::NOREPLACE);
        let Ok(files) = self.files() else { return };
        let surplus = files.len().saturating_sub(KEPT + 1);
        for file in &files[..surplus] {
            let _ = std::fs::remove_file(file);
        }
    }

    fn current(&self) -> PathBuf {
        self.directory.join("events.jsonl")
    }

    /// All files, the oldest first: `-` sorts before `.`, and times sort by their digits.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(&self.directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| Error::io("list", &self.directory, error))?,
        };
        let names = entries.flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> = names.filter(|path| is_log(path)).collect();
        files.sort();
        Ok(files)
    }

    /// A reader of what happens from now on.
    pub(crate) fn follow(&self) -> Result<follow::Follower> {
        let mut follower = follow::Follower::new(self)?;
        follower.open_new(false)?;
        Ok(follower)
    }

    /// Gives each event that is asked for to `sink`, in order, until it breaks or `until` has come.
    ///
    /// # Errors
    /// Where the log can't be read, or a filter is none.
    pub fn read(&self, query: &EventQuery, sink: &mut dyn FnMut(&Event) -> ControlFlow<()>) -> Result<()> {
        query.filters.only(&FILTERS)?;
        follow::Follower::new(self)?.run(query, sink)
    }
}

const FILTERS: [&str; 10] =
    ["container", "daemon", "event", "image", "label", "network", "scope", "type", "volume", "label!"];

fn is_log(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("events") && name.ends_with(".jsonl")
}

impl EventQuery {
    fn wants(&self, event: &Event) -> bool {
        let Event { actor, kind, action, .. } = event;
        let attribute = |name: &str| actor.attributes.get(name);
        let is = |wanted: &str, of: &str| -> bool {
            kind == of && (actor.id == wanted || attribute("name").is_some_and(|name| name == wanted))
        };
        let is_container = |wanted: &String| {
            let bare = wanted.trim_start_matches('/');
            is(bare, "container")
                || (kind == "container" && bare.len() >= 4 && actor.id.starts_with(bare))
                || attribute("container").is_some_and(|id| id == bare)
        };
        let filters = &self.filters;
        self.since.is_none_or(|since| event.time_nano >= since)
            && self.until.is_none_or(|until| event.time_nano <= until)
            && filters.any("type", |wanted| wanted == kind)
            && filters.any("scope", |wanted| *wanted == event.scope)
            && filters.any("daemon", |_| true)
            && filters.any("event", |wanted| {
                wanted == action || action.split_once(':').is_some_and(|(action, _)| action == wanted)
            })
            && filters.any("container", is_container)
            && filters.any("image", |wanted| {
                is(wanted, "image") || attribute("image").is_some_and(|image| same_image(image, wanted))
            })
            && filters.any("network", |wanted| is(wanted, "network"))
            && filters.any("volume", |wanted| is(wanted, "volume"))
            && filters.labels(&actor.attributes)
    }
}

/// Docker compares with and without the tag.
fn same_image(image: &str, wanted: &str) -> bool {
    image == wanted || image.rsplit_once(':').is_some_and(|(name, tag)| name == wanted && !tag.contains('/'))
}
