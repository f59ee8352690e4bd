//! runc's integration tests, which bats runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Suite, Verdict, Verdicts};
use crate::process::{Context, Outcome};

/// The suite in a checkout of runc.
pub struct Bats {
    tests: PathBuf,
}

impl Bats {
    pub fn at(checkout: PathBuf) -> Self {
        Self { tests: checkout.join("tests/integration") }
    }
}

impl Suite for Bats {
    fn name(&self) -> &'static str {
        "bats"
    }

    fn units(&self) -> Outcome<Vec<String>> {
        let mut units = Vec::new();
        for entry in fs::read_dir(&self.tests).context(self.tests.display())? {
            let path = entry.context(self.tests.display())?.path();
            if let (Some("bats"), Some(stem)) =
                (path.extension().and_then(|it| it.to_str()), path.file_stem())
            {
                units.push(stem.to_string_lossy().into_owned());
            }
        }
        units.sort();
        Ok(units)
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(900)
    }

    fn command(&self, unit: &str, runtime: &Path) -> Vec<String> {
        let file = self.tests.join(format!("{unit}.bats"));
        let runtime = format!("RUNC={}", runtime.display());
        ["env", &runtime, "bats", "--tap", &file.to_string_lossy()].map(str::to_owned).into()
    }

    fn verdicts(&self, unit: &str, output: &str) -> Verdicts {
        points(output).into_iter().map(|(name, verdict)| (format!("{unit}: {name}"), verdict)).collect()
    }
}

/// Reads the Test Anything Protocol: `ok 1 NAME`, `ok 2 NAME # skip WHY`, `not ok 3 NAME`.
pub fn points(output: &str) -> Vec<(&str, Verdict)> {
    output.lines().filter_map(point).collect()
}

fn point(line: &str) -> Option<(&str, Verdict)> {
    let (passed, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok ")?),
    };
    let (number, name) = rest.split_once(' ')?;
    number.parse::<u32>().ok()?;
    let (name, skipped) = match name.to_ascii_lowercase().find("# skip") {
        Some(at) => (&name[..at], true),
        None => (name, false),
    };
    let verdict = match (passed, skipped) {
        (false, _) => Verdict::Fail,
        (true, true) => Verdict::Skip,
        (true, false) => Verdict::Pass,
    };
    Some((name.trim(), verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tap_is_understood() {
        let output =
            "1..3\nok 1 runc run\nnot ok 2 runc run --x\n# (in test file)\nok 3 mounts # skip no sshfs\n";
        let found = Bats::at(PathBuf::new()).verdicts("run", output);
        let expected: Verdicts = [
            ("run: runc run".to_owned(), Verdict::Pass),
            ("run: runc run --x".to_owned(), Verdict::Fail),
            ("run: mounts".to_owned(), Verdict::Skip),
        ]
        .into();
        assert_eq!(found, expected);
    }
}
