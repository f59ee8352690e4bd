//! `berth image tree`

use std::process::ExitCode;

use clap::Args;
use image::TreeLayer;

use super::rm::familiar;
use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::{print, units};

#[derive(Args)]
pub struct Tree {
    /// Don't shorten ids
    #[arg(long)]
    no_trunc: bool,
}

impl Tree {
    pub fn run(self, context: &Context) -> Outcome {
        let mut text = String::new();
        for layer in context.images()?.tree()? {
            self.draw(&layer, "", "", &mut text);
        }
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Draws a layer behind `first`, and what stands on it behind `rest`.
    fn draw(&self, layer: &TreeLayer, first: &str, rest: &str, text: &mut String) {
        let id = if self.no_trunc { layer.diff_id.to_string() } else { layer.diff_id.short() };
        *text += &format!("{first}{id} {}", units::size(layer.size, 3));
        for image in &layer.images {
            let names: Vec<String> = image.names.iter().map(|name| familiar(name)).collect();
            let label = if names.is_empty() { image.id.short() } else { names.join(", ") };
            *text += &format!("  ◀ {label}");
        }
        *text += "\n";
        for (at, child) in layer.children.iter().enumerate() {
            let (branch, below) =
                if at + 1 == layer.children.len() { ("└─", "  ") } else { ("├─", "│ ") };
            self.draw(child, &format!("{rest}{branch}"), &format!("{rest}{below}"), text);
        }
    }
}
