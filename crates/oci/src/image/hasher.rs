//! Hashing as content streams by.

use sha2::Digest as _;

use super::{Algorithm, Digest};

/// The running hash of a stream.
#[derive(Clone)]
pub enum Hasher {
    /// SHA-256 so far.
    Sha256(sha2::Sha256),
    /// SHA-512 so far.
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// The hash of nothing yet.
    pub fn new(algorithm: Algorithm) -> Hasher {
        match algorithm {
            Algorithm::Sha256 => Hasher::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => Hasher::Sha512(sha2::Sha512::new()),
        }
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(state) => state.update(bytes),
            Hasher::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all that was taken in.
    pub fn finish(self) -> Digest {
        match self {
            Hasher::Sha256(state) => Digest::Sha256(state.finalize().into()),
            Hasher::Sha512(state) => Digest::Sha512(state.finalize().into()),
        }
    }
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The SHA-256 digest of `bytes`: how new content is named.
    pub fn sha256(bytes: &[u8]) -> Digest {
        Digest::of(Algorithm::Sha256, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_match_the_published_vectors() {
        let sha256 = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::sha256(b"abc").to_string(), sha256);
        let sha512 = Digest::of(Algorithm::Sha512, b"abc").to_string();
        assert!(sha512.starts_with("sha512:ddaf35a193617abacc417349ae204131"));
        let mut parts = Hasher::new(Algorithm::Sha256);
        parts.update(b"a");
        parts.update(b"bc");
        assert_eq!(parts.finish().to_string(), sha256);
    }
}
