//! `berth import`

use std::fs::File;
use std::io::stdin;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use image::{ImportOptions, apply_change};
use oci::Reference;
use oci::image::{ContainerConfig, Platform};

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::print;

#[derive(Args)]
pub struct Import {
    /// Follow this instruction of a Dockerfile, such as `CMD ["sh"]`
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// A note for the image's history
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
    /// What the image runs on, as os/architecture[/variant] [default: this host's platform]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// The archive, or - for standard input
    file: String,
    /// REPOSITORY[:TAG]
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

impl Import {
    pub fn run(self, context: &Context) -> Outcome {
        let mut config = ContainerConfig::default();
        for change in &self.change {
            apply_change(&mut config, change)?;
        }
        let name = match &self.name {
            Some(name) => Some(name.parse::<Reference>().map_err(image::Error::from)?.with_default_tag()),
            None => None,
        };
        let options = ImportOptions {
            message: self.message,
            platform: self.platform.unwrap_or_else(Platform::host),
            config,
            created: SystemTime::now(),
        };
        let images = context.images()?;
        let id = match self.file.as_str() {
            "-" => images.import("-", stdin().lock(), name.as_ref(), options)?,
            url if url.starts_with("http://") || url.starts_with("https://") => {
                return Err(format!(
                    "{url} is not fetched: pipe it in, as in `curl -L {url} | berth import -`"
                )
                .into());
            }
            path => {
                let file = File::open(path).map_err(|error| format!("cannot open {path}: {error}"))?;
                images.import(path, file, name.as_ref(), options)?
            }
        };
        print(&format!("{id}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}
