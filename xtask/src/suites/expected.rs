//! The lists of tests that are expected to pass, kept in `xtask/suites`: they only grow.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::{Verdict, Verdicts};
use crate::process::{self, Context, Failure, Outcome};

/// The list of one suite.
pub struct Passes {
    path: PathBuf,
    tests: BTreeSet<String>,
}

impl Passes {
    /// Reads the list of the suite.
    pub fn of(suite: &str) -> Outcome<Self> {
        let path = process::root().join("xtask/suites").join(format!("{suite}.expected"));
        let text = fs::read_to_string(&path).context(path.display())?;
        Ok(Self { path, tests: text.lines().map(str::to_owned).collect() })
    }

    /// The tests, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.tests.iter().map(String::as_str)
    }

    /// Prints where `verdicts` differ; an expected pass that did not come is a failure.
    ///
    /// A run that is not `complete` misses many tests, of course. With `bless`, new passes are added to the list.
    pub fn compare(&self, verdicts: &Verdicts, complete: bool, bless: bool) -> Outcome {
        let missing = self.missing(verdicts, complete);
        for test in &missing {
            let verdict = verdicts.get(*test).map_or_else(|| "did not run".to_owned(), Verdict::to_string);
            println!("expected to pass: {test} ({verdict})");
        }
        let new = self.new_passes(verdicts);
        if bless {
            let all: BTreeSet<&str> = self.iter().chain(new).collect();
            let lines: String = all.iter().map(|test| format!("{test}\n")).collect();
            fs::write(&self.path, lines).context(self.path.display())?;
        } else {
            new.iter().for_each(|test| println!("add me: {test}"));
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(Failure::new(format!("{} tests no longer pass", missing.len())))
    }

    fn missing(&self, verdicts: &Verdicts, complete: bool) -> Vec<&str> {
        let came = |test: &&str| match verdicts.get(*test) {
            Some(verdict) => *verdict == Verdict::Pass,
            None => !complete,
        };
        self.iter().filter(|test| !came(test)).collect()
    }

    fn new_passes<'a>(&self, verdicts: &'a Verdicts) -> Vec<&'a str> {
        let passed = verdicts.iter().filter(|(_, verdict)| **verdict == Verdict::Pass);
        passed.map(|(test, _)| test.as_str()).filter(|test| !self.tests.contains(*test)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lost_pass_is_missing() {
        let tests = ["lost", "kept", "absent"].map(str::to_owned).into();
        let expected = Passes { path: PathBuf::new(), tests };
        let verdicts: Verdicts = [
            ("lost".to_owned(), Verdict::Skip),
            ("kept".to_owned(), Verdict::Pass),
            ("fresh".to_owned(), Verdict::Pass),
            ("other".to_owned(), Verdict::Fail),
        ]
        .into();
        assert_eq!(expected.missing(&verdicts, true), ["absent", "lost"]);
        assert_eq!(expected.missing(&verdicts, false), ["lost"]);
        assert_eq!(expected.new_passes(&verdicts), ["fresh"]);
    }
}
