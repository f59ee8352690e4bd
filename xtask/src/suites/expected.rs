//! The lists of tests that are expected to pass, kept in `xtask/suites`: they only grow.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::{Verdict, Verdicts};
use crate::process::{self, Context, Failure, Outcome};

/// Prints where `verdicts` differ from the list of `suite`; an expected pass that did not come is a failure.
///
/// A run that is not `complete` misses many tests, of course. With `bless`, new passes are added to the list.
pub fn compare(suite: &str, verdicts: &Verdicts, complete: bool, bless: bool) -> Outcome {
    let path = process::root().join("xtask/suites").join(format!("{suite}.expected"));
    let expected = read(&path)?;
    let missing = missing(&expected, verdicts, complete);
    for test in &missing {
        let verdict = verdicts.get(*test).map_or_else(|| "did not run".to_owned(), Verdict::to_string);
        println!("expected to pass: {test} ({verdict})");
    }
    let new = new(&expected, verdicts);
    if bless && !new.is_empty() {
        let all: BTreeSet<&str> = expected.iter().map(String::as_str).chain(new.iter().copied()).collect();
        let lines: String = all.iter().map(|test| format!("{test}\n")).collect();
        fs::write(&path, lines).context(path.display())?;
    } else {
        new.iter().for_each(|test| println!("add me: {test}"));
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("{} tests of {suite} no longer pass", missing.len())))
}

fn read(path: &PathBuf) -> Outcome<BTreeSet<String>> {
    let text = fs::read_to_string(path).context(path.display())?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn missing<'a>(expected: &'a BTreeSet<String>, verdicts: &Verdicts, complete: bool) -> Vec<&'a str> {
    let came = |test: &str| match verdicts.get(test) {
        Some(verdict) => *verdict == Verdict::Pass,
        None => !complete,
    };
    expected.iter().map(String::as_str).filter(|test| !came(test)).collect()
}

fn new<'a>(expected: &BTreeSet<String>, verdicts: &'a Verdicts) -> Vec<&'a str> {
    let passed = verdicts.iter().filter(|(_, verdict)| **verdict == Verdict::Pass);
    passed.map(|(test, _)| test.as_str()).filter(|test| !expected.contains(*test)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lost_pass_is_missing() {
        let expected = ["lost", "kept", "absent"].map(str::to_owned).into();
        let verdicts: Verdicts = [
            ("lost".to_owned(), Verdict::Skip),
            ("kept".to_owned(), Verdict::Pass),
            ("fresh".to_owned(), Verdict::Pass),
            ("other".to_owned(), Verdict::Fail),
        ]
        .into();
        assert_eq!(missing(&expected, &verdicts, true), ["absent", "lost"]);
        assert_eq!(missing(&expected, &verdicts, false), ["lost"]);
        assert_eq!(new(&expected, &verdicts), ["fresh"]);
    }
}
