//! `berth image mount` and `berth image unmount`

use std::process::ExitCode;

use clap::Args;

use super::rm::familiar;
use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::print;

#[derive(Args)]
pub struct Mount {
    /// Names or ids; without any, what is mounted is shown
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

#[derive(Args)]
pub struct Unmount {
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Mount {
    pub fn run(self, context: &Context) -> Outcome {
        let images = context.images()?;
        if self.images.is_empty() {
            for (image, path) in images.mounts()? {
                print(&format!("{} {}\n", familiar(&image.label()), path.display()))?;
            }
        }
        for name in &self.images {
            let path = images.mount(&context.find(&images, name)?)?;
            print(&format!("{}\n", path.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Unmount {
    pub fn run(self, context: &Context) -> Outcome {
        let images = context.images()?;
        for name in &self.images {
            let image = context.find(&images, name)?;
            if !images.unmount(&image)? {
                return Err(format!("{name} is not mounted").into());
            }
            print(&format!("{}\n", image.id()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
