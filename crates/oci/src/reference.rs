//! References to images in Docker's grammar: `[domain/]path[:tag][@digest]`.
//!
//! ```text
//! reference  = name [ ":" tag ] [ "@" digest ]
//! name       = [ domain "/" ] component *( "/" component )
//! domain     = ( host | "[" IPv6 "]" ) [ ":" port ]
//! component  = alphanumeric *( separator alphanumeric )      lower case
//! separator  = "." | "_" | "__" | 1*"-"
//! tag        = word *127( word | "." | "-" )
//! ```
//!
//! What comes before the first slash is a domain only if it has a dot, a colon or an upper-case letter or is
//! `localhost`; everything else is a path on Docker Hub, where a single component means `library/…`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::image::{Digest, DigestError};

/// The registry that a name without a domain means.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// The tag that a name without tag and digest means.
pub const DEFAULT_TAG: &str = "latest";
/// The longest name, domain included.
const MAX_NAME: usize = 255;
/// The longest tag.
const MAX_TAG: usize = 128;

/// The full name of an image. It always has a domain; whether a missing tag means `latest` is for the user of
/// it to say ([`Reference::with_default_tag`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a string is no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing was given.
    #[error("the image reference is empty")]
    Empty,
    /// The name is not as the grammar wants it.
    #[error("image reference {text:?}: {part} {value:?} is malformed: {rule}")]
    Malformed {
        /// The whole reference.
        text: String,
        /// The part that is wrong.
        part: &'static str,
        /// What stands there.
        value: String,
        /// What may stand there.
        rule: &'static str,
    },
    /// The name is too long.
    #[error("image reference {0:?}: the name has more than {MAX_NAME} characters")]
    NameTooLong(String),
    /// 64 hex digits would be taken for an image's id elsewhere.
    #[error("image reference {0:?}: 64 hexadecimal digits are an image's id, not a name")]
    LooksLikeId(String),
    /// The digest after `@` is wrong.
    #[error("image reference {0:?}: {1}")]
    Digest(String, #[source] DigestError),
}

impl Reference {
    /// The registry, as `docker.io` or `localhost:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry, as `library/alpine`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Registry and repository.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The tag, if one is given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one is given. It wins over the tag.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same, with the tag `latest` when it has neither tag nor digest.
    pub fn with_default_tag(mut self) -> Reference {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.into());
        }
        self
    }

    /// The same repository at `digest`, without a tag.
    pub fn at_digest(&self, digest: Digest) -> Reference {
        Reference { domain: self.domain.clone(), path: self.path.clone(), tag: None, digest: Some(digest) }
    }

    /// The same repository at `tag`, without a digest.
    pub fn at_tag(&self, tag: &str) -> Result<Reference, ReferenceError> {
        check_tag(tag, tag)?;
        Ok(Reference {
            domain: self.domain.clone(),
            path: self.path.clone(),
            tag: Some(tag.into()),
            digest: None,
        })
    }

    /// As Docker shows it: without `docker.io/` and `library/`.
    pub fn familiar(&self) -> String {
        self.display(&self.familiar_name())
    }

    /// The name alone as Docker shows it: `alpine`, `user/app`, `quay.io/user/app`. It always means the same
    /// when it is read again, so a path on Docker Hub that looks like a registry keeps its domain.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        match self.path.strip_prefix("library/") {
            Some(official) if !official.contains('/') && !looks_like_id(official) => official.into(),
            _ if split_domain(&self.path).0.is_some() => self.name(),
            _ => self.path.clone(),
        }
    }

    /// Whether `text` leaves the registry open, so that registries.conf has a say.
    pub fn is_short(text: &str) -> bool {
        split_domain(text).0.is_none()
    }

    /// Reads a short name as one of `domain`; a name that brings its own domain keeps that. On Docker Hub a
    /// single component becomes `library/…`, elsewhere not.
    pub fn parse_in(text: &str, domain: &str) -> Result<Reference, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if looks_like_id(text) {
            return Err(ReferenceError::LooksLikeId(text.into()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest.parse().map_err(|error| ReferenceError::Digest(text.into(), error))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (own_domain, remainder) = split_domain(rest);
        let (path, tag) = match remainder.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (remainder, None),
        };
        let domain = match own_domain.unwrap_or(domain) {
            "index.docker.io" => DEFAULT_DOMAIN,
            domain => domain,
        };
        check_domain(text, domain)?;
        check_path(text, path)?;
        tag.map_or(Ok(()), |tag| check_tag(text, tag))?;
        let path = match domain == DEFAULT_DOMAIN && !path.contains('/') {
            true => format!("library/{path}"),
            false => path.into(),
        };
        if domain.len() + 1 + path.len() > MAX_NAME {
            return Err(ReferenceError::NameTooLong(text.into()));
        }
        Ok(Reference { domain: domain.into(), path, tag: tag.map(Into::into), digest })
    }

    fn display(&self, name: &str) -> String {
        let tag = self.tag.as_ref().map_or(String::new(), |tag| format!(":{tag}"));
        let digest = self.digest.as_ref().map_or(String::new(), |digest| format!("@{digest}"));
        format!("{name}{tag}{digest}")
    }
}

/// Whether a name would be taken for an image's id.
fn looks_like_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The domain, if the part before the first slash is one, and the rest.
fn split_domain(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':', '['])
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (Some(first), rest)
        }
        _ => (None, text),
    }
}

fn malformed(text: &str, part: &'static str, value: &str, rule: &'static str) -> ReferenceError {
    ReferenceError::Malformed { text: text.into(), part, value: value.into(), rule }
}

fn check_domain(text: &str, domain: &str) -> Result<(), ReferenceError> {
    let rule = "expected a host name or an address, IPv6 in brackets, and perhaps :port";
    let wrong = || malformed(text, "registry", domain, rule);
    let (host, port) = match domain.strip_prefix('[') {
        Some(bracketed) => {
            let (address, after) = bracketed.split_once(']').ok_or_else(wrong)?;
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(wrong());
            }
            let port = match after.is_empty() {
                true => None,
                false => Some(after.strip_prefix(':').ok_or_else(wrong)?),
            };
            ("", port)
        }
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let host_is_sound = domain.starts_with('[') || host.split('.').all(label);
    let port_is_sound = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if host_is_sound && port_is_sound { Ok(()) } else { Err(wrong()) }
}

fn check_path(text: &str, path: &str) -> Result<(), ReferenceError> {
    match path.split('/').all(is_component) {
        true => Ok(()),
        false => {
            let rule = "expected lower-case letters and digits, separated by '.', '_', '__' or '-', and '/'";
            Err(malformed(text, "name", path, rule))
        }
    }
}

/// Alphanumeric runs with separators between them.
fn is_component(component: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    is_alphanumeric(first)
        && is_alphanumeric(last)
        && bytes.split(|&byte| is_alphanumeric(byte)).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|&b| b == b'-')
        })
}

fn check_tag(text: &str, tag: &str) -> Result<(), ReferenceError> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let sound = tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-');
    match sound {
        true => Ok(()),
        false => Err(malformed(
            text,
            "tag",
            tag,
            "expected up to 128 of A-Z a-z 0-9 _ . -, not starting with . or -",
        )),
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    /// Reads as Docker does: short names are on Docker Hub.
    fn from_str(text: &str) -> Result<Reference, ReferenceError> {
        Reference::parse_in(text, DEFAULT_DOMAIN)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display(&self.name()))
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reference, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_names_are_made_full() {
        for (text, full, familiar) in [
            ("alpine", "docker.io/library/alpine", "alpine"),
            ("alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"),
            ("user/app", "docker.io/user/app", "user/app"),
            ("library/alpine", "docker.io/library/alpine", "alpine"),
            ("index.docker.io/alpine", "docker.io/library/alpine", "alpine"),
            ("docker.io/a/b/c:t", "docker.io/a/b/c:t", "a/b/c:t"),
            ("localhost/app", "localhost/app", "localhost/app"),
            ("localhost:5000/app:v1", "localhost:5000/app:v1", "localhost:5000/app:v1"),
            ("quay.io/a__b/c-----d", "quay.io/a__b/c-----d", "quay.io/a__b/c-----d"),
            ("Uppercase/app", "Uppercase/app", "Uppercase/app"),
            ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
            ("docker.io/quay.io/app", "docker.io/quay.io/app", "docker.io/quay.io/app"),
            ("foo:5000", "docker.io/library/foo:5000", "foo:5000"),
        ] {
            let reference: Reference = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(reference.to_string(), full);
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(full.parse::<Reference>().unwrap(), reference);
            assert_eq!(familiar.parse::<Reference>().unwrap(), reference);
        }
    }

    #[test]
    fn what_is_shown_is_never_taken_for_an_id() {
        let reference: Reference = format!("library/{}", "d".repeat(64)).parse().unwrap();
        assert_eq!(reference.familiar().parse::<Reference>().unwrap(), reference);
    }

    #[test]
    fn digests_and_tags_may_stand_together() {
        let digest = Digest::sha256(b"");
        let reference: Reference = format!("alpine:3@{digest}").parse().unwrap();
        assert_eq!((reference.tag(), reference.digest()), (Some("3"), Some(&digest)));
        assert_eq!(reference.clone().with_default_tag(), reference);
        assert_eq!("alpine".parse::<Reference>().unwrap().with_default_tag().tag(), Some("latest"));
    }

    #[test]
    fn what_the_grammar_forbids_is_refused() {
        let long = "a".repeat(256);
        let long_tag = format!("a:{}", "t".repeat(129));
        let id = "a".repeat(64);
        for bad in [
            "",
            " ",
            "Alpine",
            "alpine:",
            "alpine:-x",
            "alpine:.x",
            "a/../b",
            "../a",
            "a//b",
            "/a",
            "a/",
            "a___b",
            "a._b",
            "-a",
            "a-",
            "a b",
            "a@",
            "a@sha256:00",
            "a@sha256:../x",
            "example.com/",
            "exa mple.com/a",
            "example.com:0/a",
            "example.com:99999/a",
            "example.com:x/a",
            "-x.com/a",
            "[::1/a",
            "[zz]/a",
            "[::1]x/a",
            "https://a.b/c",
            "a\0b",
            "é",
            &long,
            &long_tag,
            &id,
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn short_names_can_mean_another_registry() {
        assert!(Reference::is_short("a/b:c") && Reference::is_short("foo:5000"));
        assert!(!Reference::is_short("localhost/a") && !Reference::is_short("a.b/c"));
        let reference = Reference::parse_in("app", "quay.io").unwrap();
        assert_eq!(reference.to_string(), "quay.io/app");
        assert_eq!(Reference::parse_in("a.b/app", "quay.io").unwrap().domain(), "a.b");
    }
}
