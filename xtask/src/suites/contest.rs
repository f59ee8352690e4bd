//! youki's `contest`: a program that drives a runtime through groups of tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Suite, Verdict, Verdicts};
use crate::process::{self, Outcome};

/// The programs and the bundle that they use, in one directory.
pub struct Contest {
    dir: PathBuf,
}

impl Contest {
    pub fn at(dir: PathBuf) -> Self {
        Self { dir }
    }
}

impl Suite for Contest {
    fn name(&self) -> &'static str {
        "contest"
    }

    fn units(&self) -> Outcome<Vec<String>> {
        let mut list = Command::new(self.dir.join("contest"));
        let groups = process::read(list.arg("list").current_dir(&self.dir))?;
        Ok(groups.split_whitespace().map(str::to_owned).collect())
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(300)
    }

    /// contest looks for its bundle in the working directory.
    fn command(&self, unit: &str, runtime: &Path) -> Vec<String> {
        let script = r#"cd "$0" && exec ./contest run --runtime "$1" --runtimetest ./runtimetest -t "$2""#;
        let dir = self.dir.to_string_lossy();
        ["sh", "-c", script, &dir, &runtime.to_string_lossy(), unit].map(str::to_owned).into()
    }

    /// A panic in a test ends its group.
    fn alone(&self, test: &str) -> Option<String> {
        Some(test.to_owned())
    }

    /// Reads lines like `3 / 5 : NAME : not ok`, which say why in the next line.
    fn verdicts(&self, unit: &str, output: &str) -> Verdicts {
        let group = unit.split("::").next().unwrap_or(unit);
        let verdict = |line: &str| {
            let (line, word) = line.rsplit_once(" : ")?;
            let verdict = match word {
                "ok" => Verdict::Pass,
                "not ok" => Verdict::Fail,
                "skipped" => Verdict::Skip,
                _ => return None,
            };
            let (numbers, name) = line.split_once(" : ")?;
            numbers.split_once(" / ")?.0.trim().parse::<u32>().ok()?;
            Some((format!("{group}::{name}"), verdict))
        };
        output.lines().filter_map(verdict).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_report_is_understood() {
        let output = "# Start group kill\n1 / 3 : a : ok\n2 / 3 : b c : not ok\n\twhy : not ok\n3 / 3 : d : skipped\n\tno\n";
        let found = Contest::at(PathBuf::new()).verdicts("kill", output);
        let expected: Verdicts = [
            ("kill::a".to_owned(), Verdict::Pass),
            ("kill::b c".to_owned(), Verdict::Fail),
            ("kill::d".to_owned(), Verdict::Skip),
        ]
        .into();
        assert_eq!(found, expected);
    }
}
