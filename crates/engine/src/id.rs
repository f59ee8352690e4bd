//! Ids and names of containers.

use rustix::rand::{GetRandomFlags, getrandom};

use crate::error::{Error, Result};

/// What is random comes from the kernel.
fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let got = getrandom(&mut bytes, GetRandomFlags::empty());
    got.map_err(|error| Error::io("draw random bytes from", "the kernel", error))?;
    Ok(bytes)
}

/// A new id: 64 hexadecimal digits. The first twelve are never all decimal, so that a host name made of them is none
/// that looks like a number.
pub(crate) fn new() -> Result<String> {
    loop {
        let bytes: [u8; 32] = random()?;
        let id = hex(&bytes);
        if id.bytes().take(12).any(|digit| digit.is_ascii_alphabetic()) {
            return Ok(id);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Whether `text` is a whole id.
pub(crate) fn is_whole(text: &str) -> bool {
    text.len() == 64 && is_prefix(text)
}

/// Whether `text` can be the start of an id.
pub(crate) fn is_prefix(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Checks a name as Docker does; a leading slash is taken off.
pub(crate) fn check_name(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let sound = (2..=200).contains(&bare.len())
        && bare.as_bytes()[0].is_ascii_alphanumeric()
        && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if sound { Ok(bare) } else { Err(Error::InvalidName(name.to_owned())) }
}

/// A random name: an adjective and the surname of somebody who found something out. From the third `attempt` on with a
/// number, so that there is always another.
pub(crate) fn name(attempt: u32) -> Result<String> {
    let [a, b, c, d, e, f] = random::<6>()?;
    let pick = |words: &'static [&'static str], high: u8, low: u8| {
        words[usize::from(u16::from_be_bytes([high, low])) % words.len()]
    };
    let (adjective, surname) = (pick(ADJECTIVES, a, b), pick(SURNAMES, c, d));
    Ok(match attempt {
        0..3 => format!("{adjective}_{surname}"),
        _ => format!("{adjective}_{surname}{}", u16::from_be_bytes([e, f])),
    })
}

#[rustfmt::skip]
const ADJECTIVES: &[&str] = &[
    "able", "agile", "airy", "alert", "amber", "ample", "apt", "ardent", "astute", "aware", "balmy", "bold", "brave",
    "breezy", "bright", "brisk", "calm", "candid", "careful", "cheery", "civil", "clear", "clever", "comic", "cool",
    "cosmic", "cozy", "crisp", "curious", "daring", "decent", "deft", "earnest", "eager", "easy", "elated", "fair",
    "famous", "fearless", "fine", "firm", "fluent", "fond", "frank", "free", "fresh", "gallant", "gentle", "glad",
    "golden", "graceful", "grand", "hardy", "hearty", "honest", "hopeful", "humble", "ideal", "jolly", "jovial",
    "joyful", "keen", "kind", "lively", "loyal", "lucid", "lucky", "mellow", "merry", "mighty", "modest", "neat",
    "nimble", "noble", "open", "patient", "placid", "pleasant", "polite", "prompt", "proud", "quick", "quiet", "ready",
    "robust", "serene", "sharp", "silent", "sincere", "smart", "snug", "solid", "spry", "steady", "sunny", "swift",
    "tender", "thrifty", "tidy", "tireless", "trusty", "upbeat", "valiant", "vivid", "warm", "wise", "witty", "zesty",
];

#[rustfmt::skip]
const SURNAMES: &[&str] = &[
    "abel", "ampere", "archimedes", "avogadro", "babbage", "banach", "bernoulli", "bessel", "bohr", "boltzmann", "boole",
    "born", "bose", "brahe", "brown", "cantor", "carnot", "carson", "cauchy", "cavendish", "celsius", "chandrasekhar",
    "chebyshev", "clausius", "copernicus", "coulomb", "curie", "dalton", "darwin", "descartes", "dijkstra", "dirac",
    "doppler", "eddington", "edison", "einstein", "engelbart", "eratosthenes", "erdos", "euclid", "euler", "faraday",
    "fermat", "fermi", "feynman", "fibonacci", "foucault", "fourier", "franklin", "fresnel", "galilei", "galois",
    "gauss", "germain", "gibbs", "goedel", "goodall", "hamilton", "hamming", "heisenberg", "helmholtz", "hermite",
    "herschel", "hertz", "hilbert", "hooke", "hopper", "hubble", "hypatia", "jacobi", "johnson", "joule", "kelvin",
    "kepler", "khayyam", "kirchhoff", "knuth", "kovalevskaya", "lagrange", "lamarr", "landau", "laplace", "lavoisier",
    "leavitt", "legendre", "leibniz", "lovelace", "mach", "markov", "maxwell", "mayer", "mccarthy", "meitner", "mendel",
    "mendeleev", "minkowski", "mirzakhani", "moebius", "napier", "nash", "neumann", "newton", "nobel", "noether",
    "oersted", "ohm", "pascal", "pasteur", "pauli", "pavlov", "peano", "penrose", "planck", "poincare", "poisson",
    "ptolemy", "pythagoras", "raman", "ramanujan", "rayleigh", "ride", "riemann", "ritchie", "roentgen", "rubin",
    "rutherford", "sagan", "schroedinger", "shannon", "siemens", "stokes", "taylor", "tereshkova", "tesla", "thales",
    "thompson", "torricelli", "turing", "vaughan", "volta", "watt", "weber", "wilson", "wu", "yonath", "young",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_64_digits_and_no_number() {
        let id = new().unwrap();
        assert!(is_whole(&id), "{id}");
        assert!(id[..12].parse::<u64>().is_err());
        assert!(!is_whole(&id[1..]) && !is_prefix("") && !is_prefix("xyz"));
    }

    #[test]
    fn names_are_checked_as_docker_checks_them() {
        assert_eq!(check_name("/web-1.x_y").unwrap(), "web-1.x_y");
        for bad in ["", "a", "-a", "a b", "a/b", "ä1"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn random_names_are_names_and_never_run_out() {
        for attempt in 0..8 {
            let name = name(attempt).unwrap();
            assert_eq!(check_name(&name).unwrap(), name);
            assert_eq!(name.ends_with(|c: char| c.is_ascii_digit()), attempt >= 3, "{name}");
        }
    }
}
