//! How many tests passed.

use std::fmt;
use std::ops::AddAssign;

use crate::process::{Failure, Outcome};

/// A count of test results.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Ran well.
    pub passed: usize,
    /// Ran badly, or crashed.
    pub failed: usize,
    /// Marked as ignored, as tests for the VM are on the host.
    pub skipped: usize,
}

impl Tally {
    /// Reads the line that ends a run of libtest: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    pub fn of_libtest(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        Some(Self::sum(counts.split("; ")))
    }

    /// Reads the line that ends a run of nextest:
    /// `Summary [ 1.2s] 4 tests run: 2 passed (1 slow), 1 failed, 1 timed out, 0 skipped`.
    pub fn of_nextest(line: &str) -> Option<Self> {
        let (_, counts) = line.trim_start().strip_prefix("Summary [")?.split_once(" run: ")?;
        Some(Self::sum(counts.split(", ")))
    }

    /// Adds up phrases like `3 passed`; words of no interest, as `slow`, don't count.
    fn sum<'a>(phrases: impl Iterator<Item = &'a str>) -> Self {
        let mut tally = Self::default();
        for phrase in phrases {
            let Some((count, word)) = phrase.trim().split_once(' ') else { continue };
            let Ok(count) = count.parse::<usize>() else { continue };
            match word.split(' ').next() {
                Some("passed") => tally.passed += count,
                Some("failed" | "timed" | "exec") => tally.failed += count,
                Some("skipped" | "ignored") => tally.skipped += count,
                _ => {}
            }
        }
        tally
    }

    /// Fails if a test failed.
    pub fn into_outcome(self) -> Outcome {
        if self.failed == 0 { Ok(()) } else { Err(Failure::new(format!("{} tests failed", self.failed))) }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(tally: Option<Tally>) -> Option<(usize, usize, usize)> {
        tally.map(|it| (it.passed, it.failed, it.skipped))
    }

    #[test]
    fn libtest_is_understood() {
        let line =
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s";
        assert_eq!(counts(Tally::of_libtest(line)), Some((3, 0, 1)));
        assert_eq!(counts(Tally::of_libtest("test result ... ok")), None);
    }

    #[test]
    fn nextest_is_understood() {
        let line = "     Summary [   1.019s] 12/13 tests run: 8 passed (1 slow, 2 leaky), 2 failed, 1 timed out, 1 exec failed, 3 skipped";
        assert_eq!(counts(Tally::of_nextest(line)), Some((8, 4, 3)));
        assert_eq!(
            counts(Tally::of_nextest("     Summary [   0.0s] 1 test run: 1 passed, 0 skipped")),
            Some((1, 0, 0))
        );
    }
}
