//! `berth events`

use std::error::Error;
use std::ops::ControlFlow;
use std::process::ExitCode;

use clap::Args;
use engine::{Event, EventQuery, Filters};
use jiff::Timestamp;
use serde_json::json;

use super::Outcome;
use super::context::Context;
use super::output::{format, print};
use super::values::instant;

#[derive(Args)]
pub struct Events {
    /// Show events that fit: container, event, image, label, network, type or volume, as NAME=VALUE
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// A Go template, or `json`
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show those from this time on too: a time, or how long ago as 10m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// End at this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Events {
    pub fn run(self, context: &Context) -> Outcome {
        let now = Timestamp::now();
        let time = |text: &Option<String>| text.as_deref().map(|text| instant(text, now)).transpose();
        let query = EventQuery {
            since: time(&self.since)?,
            until: time(&self.until)?,
            filters: Filters::parse(self.filter.iter().map(String::as_str))?,
        };
        let mut failed = None;
        context.engine()?.events().read(&query, &mut |event| match self.show(event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(ExitCode::SUCCESS), Err)
    }

    fn show(&self, event: &Event) -> Result<(), Box<dyn Error>> {
        let text = match self.format.as_deref() {
            None => line(event),
            Some("json") => serde_json::to_string(event)? + "\n",
            Some(template) => format::one(template, &fields(event)?)?,
        };
        Ok(print(&text)?)
    }
}

/// An event as Docker prints it.
fn line(event: &Event) -> String {
    let Event { kind, action, actor, time_nano, .. } = event;
    let nanoseconds = u32::try_from(time_nano.rem_euclid(1_000_000_000)).unwrap_or_default();
    let time = oci::time::rfc3339_nano(time_nano.div_euclid(1_000_000_000), nanoseconds);
    let mut line = format!("{time} {kind} {action} {}", actor.id);
    if !actor.attributes.is_empty() {
        let shown: Vec<String> =
            actor.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        line += &format!(" ({})", shown.join(", "));
    }
    line.replace(['\n', '\r'], " ") + "\n"
}

/// What templates may use: the names of Go's fields, beside those of the JSON.
fn fields(event: &Event) -> serde_json::Result<serde_json::Value> {
    let mut fields = serde_json::to_value(event)?;
    for (name, value) in [
        ("Status", json!(event.status)),
        ("ID", json!(event.id)),
        ("From", json!(event.from)),
        ("Scope", json!(event.scope)),
        ("Time", json!(event.time)),
        ("TimeNano", json!(event.time_nano)),
    ] {
        fields[name] = value;
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_time_kind_action_and_attributes() {
        let attributes = [("image", "app"), ("name", "web")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut event = Event::new("container", "start", "abc", attributes.into());
        event.time_nano = 1_700_000_000_000_000_005;
        let shown = "2023-11-14T22:13:20.000000005Z container start abc (image=app, name=web)\n";
        assert_eq!(line(&event), shown);
        let told =
            format::one("{{.Type}} {{.Action}} {{.ID}} {{.Actor.Attributes.name}}", &fields(&event).unwrap());
        assert_eq!(told.unwrap(), "container start abc web\n");
    }
}
