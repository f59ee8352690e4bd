//! The keys that end an attachment without ending the payload: Docker's `--detach-keys`.

use std::str::FromStr;

/// A sequence of keys, `ctrl-p,ctrl-q` by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

/// A sequence that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid detach keys {0:?}: give single characters or ctrl-X (X a letter, or one of @ [ \\ ] ^ _), separated by commas"
)]
pub struct InvalidKeys(String);

impl Default for DetachKeys {
    fn default() -> Self {
        Self(vec![16, 17])
    }
}

impl FromStr for DetachKeys {
    type Err = InvalidKeys;

    /// The empty text is the default, as an empty setting of the configuration file is.
    fn from_str(text: &str) -> Result<Self, InvalidKeys> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
        keys.map(Self).ok_or_else(|| InvalidKeys(text.to_owned()))
    }
}

fn key(text: &str) -> Option<u8> {
    if let [byte] = text.as_bytes() {
        return Some(*byte);
    }
    let [byte] = text.strip_prefix("ctrl-")?.as_bytes() else { return None };
    // What Ctrl does to a key: the lower five bits are left of it (ECMA-48). `a` and `A` are the same key.
    match byte {
        b'a'..=b'z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_' => Some(byte & 0x1f),
        _ => None,
    }
}

/// Looks for the keys in what is typed.
#[derive(Debug)]
pub(crate) struct Watch {
    keys: DetachKeys,
    /// How many keys of the sequence were typed last, and held back.
    matched: usize,
}

impl Watch {
    pub fn new(keys: DetachKeys) -> Self {
        Self { keys, matched: 0 }
    }

    /// What of the typed bytes goes on to the payload is added to `out`; true where the sequence was completed.
    ///
    /// A begun sequence is held back until the next key shows what it was.
    pub fn pass(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        let keys = &self.keys.0;
        for byte in typed {
            if keys[self.matched] != *byte && self.matched > 0 {
                out.extend(&keys[..self.matched]);
                self.matched = 0;
            }
            if keys[self.matched] == *byte {
                self.matched += 1;
                if self.matched == keys.len() {
                    return true;
                }
            } else {
                out.push(*byte);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_read_as_docker_reads_them() {
        let keys = |text: &str| text.parse::<DetachKeys>().map(|keys| keys.0);
        assert_eq!(keys(""), Ok(vec![16, 17]));
        assert_eq!(keys("ctrl-p,ctrl-q"), Ok(vec![16, 17]));
        assert_eq!(keys("a,ctrl-@,ctrl-_"), Ok(vec![b'a', 0, 31]));
        for wrong in ["ctrl-", "ctrl-pp", "ctrl-1", "strg-p", "a,,b", "é"] {
            assert!(keys(wrong).is_err(), "{wrong}");
        }
    }

    fn typed(keys: &str, typed: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut watch = Watch::new(keys.parse().unwrap());
        let mut out = Vec::new();
        let detached = typed.iter().any(|bytes| watch.pass(bytes, &mut out));
        (out, detached)
    }

    #[test]
    fn the_sequence_detaches_wherever_reads_cut_it() {
        assert_eq!(typed("", &[b"ls\n\x10\x11"]), (b"ls\n".to_vec(), true));
        assert_eq!(typed("", &[b"\x10", b"\x11"]), (vec![], true));
        assert_eq!(typed("x", &[b"abx"]), (b"ab".to_vec(), true));
    }

    #[test]
    fn a_begun_sequence_goes_on_when_it_ends_otherwise() {
        assert_eq!(typed("", &[b"\x10", b"a"]), (b"\x10a".to_vec(), false));
        assert_eq!(typed("", &[b"\x10\x10", b"\x11"]), (b"\x10".to_vec(), true));
        assert_eq!(typed("", &[b"\x10"]), (vec![], false));
    }
}
