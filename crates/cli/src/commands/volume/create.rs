//! `berth volume create`

use std::process::ExitCode;

use clap::Args;
use engine::volumes::NewVolume;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::print;
use crate::commands::values::key_value;

#[derive(Args)]
pub struct Create {
    /// The driver
    #[arg(short, long, value_name = "DRIVER", default_value = "local")]
    driver: String,
    /// Set a label
    #[arg(long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// An option of the driver: type=…, device=…, o=…, size=…
    #[arg(short, long, value_name = "NAME=VALUE")]
    opt: Vec<String>,
    /// Its name [default: a random one]
    #[arg(value_name = "VOLUME")]
    name: Option<String>,
}

impl Create {
    pub fn run(self, context: &Context) -> Outcome {
        let pairs = |pairs: &[String]| pairs.iter().map(|pair| key_value(pair)).collect();
        let new = NewVolume {
            name: self.name.unwrap_or_default(),
            driver: self.driver,
            options: pairs(&self.opt),
            labels: pairs(&self.label),
        };
        let volume = context.volumes().create(&new)?;
        print(&format!("{}\n", volume.name()))?;
        Ok(ExitCode::SUCCESS)
    }
}
