//! `Digest`: an algorithm and the bytes of a hash. Held as bytes, so that no digest can carry a path or an
//! unvalidated string to where a file is named after it (CVE-2024-3727).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The hash algorithms that the image specification registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, which every registry speaks.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The name before the colon, which is also the directory under `blobs/`.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// Both algorithms, in the order of their strength.
    pub const ALL: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];
}

/// What content is called: `sha256:<64 hex digits>` or `sha512:<128 hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// A SHA-256 hash.
    Sha256([u8; 32]),
    /// A SHA-512 hash.
    Sha512([u8; 64]),
}

/// Why a string is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// There is no `algorithm:` in front.
    #[error("digest {0:?} has no algorithm: expected sha256:<hex> or sha512:<hex>")]
    NoAlgorithm(String),
    /// The algorithm is none that is registered.
    #[error("digest algorithm {0:?} is not supported: expected sha256 or sha512")]
    UnknownAlgorithm(String),
    /// The encoded part is not lower-case hex of the right length.
    #[error("digest {0:?} is malformed: {1} takes {2} lower-case hexadecimal digits")]
    Malformed(String, &'static str, usize),
}

impl Digest {
    /// The algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Digest::Sha256(_) => Algorithm::Sha256,
            Digest::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The raw hash.
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Digest::Sha256(bytes) => bytes,
            Digest::Sha512(bytes) => bytes,
        }
    }

    /// The hash in lower-case hex, without the algorithm: a blob's file name.
    pub fn hex(&self) -> String {
        self.as_bytes().iter().flat_map(|byte| [nibble(byte >> 4), nibble(byte & 15)]).collect()
    }

    /// The first twelve hex digits, as lists show them.
    pub fn short(&self) -> String {
        self.as_bytes()[..6].iter().flat_map(|byte| [nibble(byte >> 4), nibble(byte & 15)]).collect()
    }

    /// The digest of `algorithm` that `hex` encodes.
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Result<Digest, DigestError> {
        let parsed = match algorithm {
            Algorithm::Sha256 => decode(hex).map(Digest::Sha256),
            Algorithm::Sha512 => decode(hex).map(Digest::Sha512),
        };
        parsed.ok_or_else(|| {
            let digits = if algorithm == Algorithm::Sha256 { 64 } else { 128 };
            DigestError::Malformed(excerpt(hex), algorithm.name(), digits)
        })
    }
}

fn nibble(value: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(value)])
}

fn decode<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let digits = hex.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

/// What an error shows of hostile input: its beginning.
fn excerpt(text: &str) -> String {
    text.chars().take(160).collect()
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Digest, DigestError> {
        let (algorithm, hex) = text.split_once(':').ok_or_else(|| DigestError::NoAlgorithm(excerpt(text)))?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|known| known.name() == algorithm)
            .ok_or_else(|| DigestError::UnknownAlgorithm(excerpt(algorithm)))?;
        Digest::from_hex(algorithm, hex)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm().name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn text_survives_the_round_trip() {
        let digest: Digest = EMPTY.parse().unwrap();
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(digest.short(), "e3b0c44298fc");
        let long = format!("sha512:{}", "0f".repeat(64));
        assert_eq!(long.parse::<Digest>().unwrap().to_string(), long);
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }

    #[test]
    fn cve_2024_3727_a_digest_is_never_an_unchecked_string() {
        for hostile in [
            "",
            "sha256",
            "sha256:",
            "sha256:../../../../etc/passwd",
            "../sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\0",
            "sha256:é3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
        ] {
            assert!(hostile.parse::<Digest>().is_err(), "{hostile:?}");
        }
    }
}
