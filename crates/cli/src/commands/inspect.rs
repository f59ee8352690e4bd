//! `berth inspect`: anything by its name or id, and what the commands of one kind of objects share.

use std::error::Error;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;

use super::context::Context;
use super::output::{format, print};
use super::{Outcome, container, image, network, told, volume};

#[derive(Args)]
pub struct Inspect {
    /// A Go template, or `json`
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show sizes of containers
    #[arg(short, long)]
    size: bool,
    /// Look among objects of this kind only
    #[arg(long, value_name = "KIND")]
    r#type: Option<Kind>,
    /// Names or ids
    #[arg(required = true, value_name = "OBJECT")]
    objects: Vec<String>,
}

/// What may be looked at, in the order of looking.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Container,
    Image,
    Network,
    Volume,
}

/// What was found: nothing, where there is no such object.
pub type Found = Result<Option<Value>, Box<dyn Error>>;

impl Inspect {
    pub fn run(self, context: &Context) -> Outcome {
        let kinds: Vec<Kind> = match self.r#type {
            Some(kind) => vec![kind],
            None => Kind::value_variants().to_vec(),
        };
        show(&self.objects, self.format.as_deref(), |name| {
            for kind in &kinds {
                if let Some(value) = kind.find(context, name, self.size)? {
                    return Ok(value);
                }
            }
            Err(match self.r#type {
                None => format!("no such object: {name}").into(),
                Some(kind) => format!("no such {}: {name}", kind.name()).into(),
            })
        })
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Container => "container",
            Kind::Image => "image",
            Kind::Network => "network",
            Kind::Volume => "volume",
        }
    }

    fn find(self, context: &Context, name: &str, size: bool) -> Found {
        match self {
            Kind::Container => container::inspect::find(context, name, size),
            Kind::Image => image::inspect::find(context, name),
            Kind::Network => network::find(context, name),
            Kind::Volume => volume::find(context, name),
        }
    }
}

/// Prints what `look` finds for each name. What is not found is told, and the rest shown all the same.
pub fn show<T: Serialize>(
    names: &[String],
    template: Option<&str>,
    mut look: impl FnMut(&str) -> Result<T, Box<dyn Error>>,
) -> Outcome {
    let (mut found, mut complaints) = (Vec::new(), Vec::new());
    for name in names {
        match look(name) {
            Ok(value) => found.push(value),
            Err(error) => complaints.push(told(error.as_ref())),
        }
    }
    match template {
        None => print(&format::pretty(&found)?)?,
        Some(template) => {
            for value in &found {
                print(&format::one(template, value)?)?;
            }
        }
    }
    for complaint in &complaints {
        eprintln!("berth: {complaint}");
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
