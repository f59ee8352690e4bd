//! Lines out of chunks, for drivers that keep lines.

use serde::{Deserialize, Serialize};

/// A longer line is cut into entries of this length: it has to be in memory.
const LONGEST: usize = 1 << 20;

/// The line of one stream that has begun and not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    begun: Vec<u8>,
}

impl Line {
    /// Gives each line that ends in `bytes` to `emit`, with its newline.
    pub fn add<E>(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.begun.is_empty() && piece.ends_with(b"\n") && piece.len() <= LONGEST {
                emit(piece)?;
                continue;
            }
            for part in piece.chunks(LONGEST - self.begun.len().min(LONGEST - 1)) {
                self.begun.extend_from_slice(part);
                if self.begun.ends_with(b"\n") || self.begun.len() >= LONGEST {
                    emit(&std::mem::take(&mut self.begun))?;
                }
            }
        }
        Ok(())
    }

    /// The stream has ended: what was begun is a line without a newline.
    pub fn end<E>(&mut self, emit: impl FnOnce(&[u8]) -> Result<(), E>) -> Result<(), E> {
        match std::mem::take(&mut self.begun) {
            begun if begun.is_empty() => Ok(()),
            begun => emit(&begun),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cuts_do_not_matter(text in prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 0..200),
                              cuts in prop::collection::vec(1usize..9, 1..50)) {
            let mut line = Line::default();
            let mut lines: Vec<Vec<u8>> = Vec::new();
            let mut emit = |line: &[u8]| { lines.push(line.to_vec()); Ok::<_, Infallible>(()) };
            let (mut rest, mut cuts) = (&text[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                rest = later;
                line.add(now, &mut emit).unwrap();
            }
            line.end(&mut emit).unwrap();
            let expected: Vec<Vec<u8>> = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            prop_assert_eq!(lines, expected);
        }
    }

    #[test]
    fn only_lines_that_memory_should_not_hold_are_cut() {
        let mut line = Line::default();
        let mut lengths = Vec::new();
        let mut emit = |line: &[u8]| {
            lengths.push(line.len());
            Ok::<_, Infallible>(())
        };
        line.add(&vec![b'x'; LONGEST / 2], &mut emit).unwrap();
        line.add(&vec![b'x'; 2 * LONGEST], &mut emit).unwrap();
        line.add(b"\n", &mut emit).unwrap();
        assert_eq!(lengths, [LONGEST, LONGEST, LONGEST / 2 + 1]);
    }
}
