//! From the guest's lines to ordinary test lines and a count.
//!
//! ```text
//! @@ boot KERNEL SECONDS
//! @@ begin USER PROGRAM
//! test NAME ... ok|FAILED|ignored      as libtest writes,
//! test result: …                       once at its end
//! @@ end STATUS
//! @@ done
//! ```

use crate::process::{Failure, Outcome};
use crate::tally::Tally;

/// What has been read so far.
#[derive(Debug, Default)]
pub struct Report {
    tally: Tally,
    /// The user and program that run now.
    running: Option<String>,
    /// Whether that program has reached its closing line.
    counted: bool,
    done: bool,
}

impl Report {
    /// Takes a line, and returns what a person should see of it.
    pub fn read(&mut self, line: &str) -> Option<String> {
        if let Some(mark) = line.strip_prefix("@@ ") {
            return self.mark(mark);
        }
        if let Some(tally) = Tally::of_libtest(line) {
            self.tally += tally;
            self.counted = true;
            return None;
        }
        match line.strip_prefix("test ") {
            Some(test) => Some(format!("test {} {test}", self.place())),
            None => Some(line.to_owned()),
        }
    }

    fn mark(&mut self, mark: &str) -> Option<String> {
        let (word, rest) = mark.split_once(' ').unwrap_or((mark, ""));
        match word {
            "boot" => return Some(format!("vm: Linux {rest} after power-on")),
            "begin" => {
                self.running = Some(rest.replacen(' ', ":", 1));
                self.counted = false;
            }
            "end" => {
                let shown = self.crash(rest);
                self.running = None;
                return shown;
            }
            "done" => self.done = true,
            _ => {}
        }
        None
    }

    /// A program without a closing line crashed or was killed: that is a failure too.
    fn crash(&mut self, status: &str) -> Option<String> {
        if self.counted {
            return None;
        }
        self.tally.failed += 1;
        let why = if status == "124" { "ran too long".into() } else { format!("exit status {status}") };
        Some(format!("test {} ... FAILED ({why})", self.place()))
    }

    /// Where the machine is, for a message.
    pub fn place(&self) -> &str {
        self.running.as_deref().unwrap_or(if self.done { "power-off" } else { "boot" })
    }

    /// The count, once the machine is off.
    ///
    /// # Errors
    /// It went off before the last program ended.
    pub fn finish(self) -> Outcome<Tally> {
        if self.done {
            return Ok(self.tally);
        }
        Err(Failure::new(format!("the machine went off in {}", self.place())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lines: &str) -> (Report, Vec<String>) {
        let mut report = Report::default();
        let shown = lines.lines().filter_map(|line| report.read(line)).collect();
        (report, shown)
    }

    #[test]
    fn test_lines_are_counted_and_placed() {
        let lines = "@@ begin user cli.vm_user\ntest a ... ok\ntest b ... ignored, why\ntest c ... FAILED\n\
                     test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured\n@@ end 101\n@@ done";
        let (report, shown) = report(lines);
        assert_eq!(shown[0], "test user:cli.vm_user a ... ok");
        let tally = report.finish().unwrap();
        assert_eq!((tally.passed, tally.failed, tally.skipped), (1, 1, 1));
    }

    #[test]
    fn a_crash_is_a_failure() {
        let (report, shown) = report("@@ begin root x.y\ntest a ... ok\n@@ end 134\n@@ done");
        assert_eq!(shown[1], "test root:x.y ... FAILED (exit status 134)");
        assert_eq!(report.finish().unwrap().failed, 1);
    }

    #[test]
    fn an_early_end_is_an_error_that_says_where() {
        let (report, _) = report("@@ boot 6.1 20 s\n@@ begin root x.y\ntest a ... ok");
        assert_eq!(report.finish().unwrap_err().to_string(), "the machine went off in root:x.y");
    }
}
