//! Clock offsets of time namespaces; time_namespaces(7).

use std::fmt::Write as _;

/// How far a clock of the namespace is ahead of the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offset {
    /// Whole seconds; negative is behind.
    pub seconds: i64,
    /// Nanoseconds on top, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// The two clocks that a time namespace can shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeOffsets {
    /// CLOCK_MONOTONIC and its relatives.
    pub monotonic: Option<Offset>,
    /// CLOCK_BOOTTIME and its relatives.
    pub boottime: Option<Offset>,
}

impl TimeOffsets {
    /// The text that is written to /proc/PID/timens_offsets.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (clock, offset) in [("monotonic", self.monotonic), ("boottime", self.boottime)] {
            if let Some(Offset { seconds, nanoseconds }) = offset {
                // Writing to a String can't fail.
                let _ = writeln!(text, "{clock} {seconds} {nanoseconds}");
            }
        }
        text
    }

    /// Reads the text of /proc/PID/timens_offsets; none if it is not of that form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut offsets = Self::default();
        for line in text.lines() {
            let mut fields = line.split_whitespace();
            let (clock, seconds, nanoseconds) = (fields.next()?, fields.next()?, fields.next()?);
            let offset = Offset { seconds: seconds.parse().ok()?, nanoseconds: nanoseconds.parse().ok()? };
            match clock {
                "monotonic" => offsets.monotonic = Some(offset),
                "boottime" => offsets.boottime = Some(offset),
                _ => return None,
            }
        }
        Some(offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_written_and_read() {
        let offsets = TimeOffsets {
            monotonic: Some(Offset { seconds: -5, nanoseconds: 7 }),
            boottime: Some(Offset { seconds: 86400, nanoseconds: 0 }),
        };
        assert_eq!(offsets.render(), "monotonic -5 7\nboottime 86400 0\n");
        assert_eq!(TimeOffsets::parse(&offsets.render()), Some(offsets));
        assert_eq!(TimeOffsets::parse("monotonic           0         0\n").unwrap().boottime, None);
        assert_eq!(TimeOffsets::parse("wall 0 0\n"), None);
        assert_eq!(TimeOffsets::default().render(), "");
    }

    #[test]
    fn the_kernels_own_text_is_read() {
        let text = std::fs::read_to_string("/proc/self/timens_offsets").expect("time namespaces, Linux 5.6");
        assert!(TimeOffsets::parse(&text).unwrap().monotonic.is_some());
    }
}
