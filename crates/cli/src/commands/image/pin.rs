//! `berth image pin` and `berth image unpin`

use std::process::ExitCode;

use clap::Args;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::print;

#[derive(Args)]
pub struct Pin {
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

#[derive(Args)]
pub struct Unpin {
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Pin {
    pub fn run(self, context: &Context) -> Outcome {
        set(context, &self.images, true)
    }
}

impl Unpin {
    pub fn run(self, context: &Context) -> Outcome {
        set(context, &self.images, false)
    }
}

fn set(context: &Context, names: &[String], pinned: bool) -> Outcome {
    let images = context.images()?;
    for name in names {
        let image = context.find(&images, name)?;
        images.pin(&image, pinned)?;
        print(&format!("{}\n", image.id()))?;
    }
    Ok(ExitCode::SUCCESS)
}
