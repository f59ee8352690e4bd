//! `berth image diff`

use std::process::ExitCode;

use clap::Args;
use image::ChangeKind;
use serde_json::json;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::{format, print};

#[derive(Args)]
pub struct Diff {
    /// A Go template with .Kind, .Path and .Size, or `json`
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// A name or id
    from: String,
    /// A name or id
    to: String,
}

impl Diff {
    pub fn run(self, context: &Context) -> Outcome {
        let images = context.images()?;
        let (from, to) = (context.find(&images, &self.from)?, context.find(&images, &self.to)?);
        let mut text = String::new();
        for change in images.diff(&from, &to)? {
            let kind = match change.kind {
                ChangeKind::Added => "A",
                ChangeKind::Modified => "C",
                ChangeKind::Deleted => "D",
            };
            let path = change.path.to_string_lossy();
            text += &match &self.format {
                None => format!("{kind} {path}\n"),
                Some(template) => {
                    format::one(template, &json!({ "Kind": kind, "Path": path, "Size": change.size }))?
                }
            };
        }
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
