//! The validation programs of runtime-tools, one for each part of the specification.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Suite, Verdict, Verdicts, bats};
use crate::process::{Context, Outcome};

/// The suite in a checkout of runtime-tools.
pub struct RuntimeTools {
    checkout: PathBuf,
}

impl RuntimeTools {
    pub fn at(checkout: PathBuf) -> Self {
        Self { checkout }
    }
}

impl Suite for RuntimeTools {
    fn name(&self) -> &'static str {
        "runtime-tools"
    }

    fn units(&self) -> Outcome<Vec<String>> {
        let validation = self.checkout.join("validation");
        let mut units = Vec::new();
        for entry in fs::read_dir(&validation).context(validation.display())? {
            let entry = entry.context(validation.display())?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().join(format!("{name}.t")).is_file() {
                units.push(name);
            }
        }
        units.sort();
        Ok(units)
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(120)
    }

    /// The programs look for their root file system in the working directory.
    fn command(&self, unit: &str, runtime: &Path) -> Vec<String> {
        let script = r#"cd "$0" && RUNTIME=$1 exec "validation/$2/$2.t""#;
        let checkout = self.checkout.to_string_lossy();
        ["sh", "-c", script, &checkout, &runtime.to_string_lossy(), unit].map(str::to_owned).into()
    }

    /// A program is one test: the numbers and even the names of its points vary from run to run.
    fn verdicts(&self, unit: &str, output: &str) -> Verdicts {
        let points = bats::points(output);
        let any = |wanted| points.iter().any(|(_, verdict)| *verdict == wanted);
        let verdict = match () {
            () if any(Verdict::Fail) || !completed(output, points.len()) => Verdict::Fail,
            () if any(Verdict::Pass) => Verdict::Pass,
            () => Verdict::Skip,
        };
        [(unit.to_owned(), verdict)].into()
    }
}

/// Whether the plan (`1..5`, at the start or the end) counts as many points as there are.
fn completed(output: &str, points: usize) -> bool {
    output.lines().any(|line| {
        let count = line.strip_prefix("1..").and_then(|rest| rest.split(' ').next()?.parse().ok());
        count == Some(points)
    })
}
