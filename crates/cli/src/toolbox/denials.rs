//! `berth explain --last-denial`: this page alone needs the engine, whose container it is.

use std::path::PathBuf;

use engine::{Engine, Paths};
use observe::{Entry, record};
use serde_json::json;

use super::{Outcome, output};
use crate::commands::container::observed;

pub fn explain(root: Option<PathBuf>, target: &str, as_json: bool) -> Outcome {
    let engine = Engine::open(Paths::new(root))?;
    let container = engine.find(target)?;
    let name = &container.name;
    let observed = engine.observed(&container)?;
    let entries = observed.map(|mut file| record::read(&mut file)).transpose()?;
    let Some(entries) = entries else {
        let counted = engine.counted_denials(&container)?;
        let page = json!({ "container": name, "denied": counted.denied, "notObserved": counted.unknown });
        return output::answer(as_json, &page, || {
            let lines = |what: &str, lines: &[String]| -> String {
                lines.iter().map(|line| format!("berth: {what}: {line}\n")).collect()
            };
            lines("denied", &counted.denied) + &lines("not observed", &counted.unknown)
        });
    };
    let denied: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Denied(denial) => Some(denial),
            _ => None,
        })
        .collect();
    let unseen: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Unobserved(what) => Some(what),
            _ => None,
        })
        .collect();
    let page = json!({ "container": name, "denied": denied, "notObserved": unseen });
    output::answer(as_json, &page, || match observed::text(&entries) {
        text if text.is_empty() => format!("berth: nothing was denied to {name} in its last run\n"),
        text => text,
    })
}
