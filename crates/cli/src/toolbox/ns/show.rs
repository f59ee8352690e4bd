//! `berth ns show`.

use clap::Args;
use toolbox::ns::show::Comparison;

use crate::toolbox::target::Target;
use crate::toolbox::{Outcome, output};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
}

impl Arguments {
    pub fn run(self) -> Outcome {
        let comparison = Comparison::new(self.target.pid()?)?;
        output::answer(self.target.json, &comparison, || comparison.text())
    }
}
