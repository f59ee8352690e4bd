//! Manifests and indexes, and the one door through which their bytes come in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Descriptor, Kind, media_type, null_default};

/// The largest manifest, index or configuration that is read: 4 MiB, as registries allow.
pub const MAX_DOCUMENT_BYTES: usize = 4 << 20;

/// The most descriptors in one document. A hundred platforms are many; overlay stops at 500 layers.
pub const MAX_DESCRIPTORS: usize = 4096;

/// An image: its configuration and its layers, lowest first. An artifact has the same form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The document's own media type; OCI made it optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The type of an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one refers to (a signature's image).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free-form notes.
    #[serde(default, deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Manifests of one image for several platforms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The document's own media type; OCI made it optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The type of an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests, in the order of preference.
    #[serde(default, deserialize_with = "null_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free-form notes.
    #[serde(default, deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What a manifest's digest can stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image or artifact.
    Manifest(Box<Manifest>),
    /// A choice of images.
    Index(Box<Index>),
}

/// Why a document is refused.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is larger than anyone needs.
    #[error("the document has {0} bytes, more than the {MAX_DOCUMENT_BYTES} that are read")]
    TooLarge(usize),
    /// It points at more than anyone needs.
    #[error("the document has {0} descriptors, more than the {MAX_DESCRIPTORS} that are read")]
    TooMany(usize),
    /// It is no JSON of the right form.
    #[error("the document is malformed")]
    Malformed(#[from] serde_json::Error),
    /// Docker's manifest schema 1.
    #[error(
        "the image is published in Docker's manifest schema 1, which was withdrawn because it names no layer's \
         content; push it again with a current client"
    )]
    Schema1,
    /// Another version of the schema.
    #[error("the document has schema version {0}; only 2 is known")]
    SchemaVersion(u64),
    /// A media type that is neither a manifest nor an index.
    #[error("media type {0:?} is neither an image manifest nor an index")]
    MediaType(String),
    /// It calls itself something else than who points at it does (CVE-2021-41190).
    #[error("the document calls itself {own:?}, but was announced as {announced:?}")]
    Mismatch {
        /// What the descriptor or the registry said.
        announced: String,
        /// What the document says.
        own: String,
    },
    /// It can be read both as a manifest and as an index (CVE-2021-41190).
    #[error(
        "the document has both {0:?} and \"manifests\", so it means one thing to one reader and another to the next"
    )]
    Ambiguous(&'static str),
}

/// The fields that tell the documents apart, whatever else they hold.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    #[serde(default)]
    schema_version: u64,
    media_type: Option<String>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads the document that was announced as `announced` (a descriptor's media type or a response's
    /// Content-Type; empty when nothing was said).
    pub fn parse(bytes: &[u8], announced: &str) -> Result<Document, DocumentError> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(DocumentError::TooLarge(bytes.len()));
        }
        let probe: Probe = serde_json::from_slice(bytes)?;
        let document = match kind(&probe, announced)? {
            Kind::Index => Document::Index(serde_json::from_slice(bytes)?),
            _ => Document::Manifest(serde_json::from_slice(bytes)?),
        };
        match document.children().count() {
            many if many > MAX_DESCRIPTORS => Err(DocumentError::TooMany(many)),
            _ => Ok(document),
        }
    }

    /// The document's media type: its own word, or what its form means in OCI.
    pub fn media_type(&self) -> &str {
        let (own, default) = match self {
            Document::Manifest(manifest) => (&manifest.media_type, media_type::OCI_MANIFEST),
            Document::Index(index) => (&index.media_type, media_type::OCI_INDEX),
        };
        own.as_deref().unwrap_or(default)
    }

    /// What the document is made of: configuration and layers, or manifests. `subject` is not part of it.
    pub fn children(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, rest) = match self {
            Document::Manifest(manifest) => (Some(&manifest.config), &manifest.layers),
            Document::Index(index) => (None, &index.manifests),
        };
        config.into_iter().chain(rest)
    }
}

/// Whether the probed document is a manifest or an index, or why it must not be read as either.
fn kind(probe: &Probe, announced: &str) -> Result<Kind, DocumentError> {
    let announced = announced.split(';').next().unwrap_or_default().trim();
    if probe.schema_version == 1 || probe.fs_layers.is_some() || Kind::of(announced) == Kind::Schema1 {
        return Err(DocumentError::Schema1);
    }
    if probe.schema_version != 2 {
        return Err(DocumentError::SchemaVersion(probe.schema_version));
    }
    match (&probe.manifests, &probe.layers, &probe.config) {
        (Some(_), Some(_), _) => return Err(DocumentError::Ambiguous("layers")),
        (Some(_), None, Some(_)) => return Err(DocumentError::Ambiguous("config")),
        _ => {}
    }
    // A generic Content-Type announces nothing: some file servers send it.
    let announced = if matches!(announced, "application/json" | "text/plain") { "" } else { announced };
    let own = probe.media_type.as_deref().unwrap_or_default();
    if !own.is_empty() && !announced.is_empty() && own != announced {
        return Err(DocumentError::Mismatch { announced: announced.into(), own: own.into() });
    }
    let form = if probe.manifests.is_some() { Kind::Index } else { Kind::Manifest };
    let said = if announced.is_empty() { own } else { announced };
    match Kind::of(said) {
        _ if said.is_empty() => Ok(form),
        // An index may be empty, in which case Go leaves `manifests` null.
        Kind::Index if probe.layers.is_none() && probe.config.is_none() => Ok(Kind::Index),
        Kind::Manifest if form == Kind::Manifest => Ok(Kind::Manifest),
        Kind::Manifest | Kind::Index => {
            let own = if form == Kind::Index { "an index" } else { "a manifest" };
            Err(DocumentError::Mismatch { announced: said.into(), own: own.into() })
        }
        _ => Err(DocumentError::MediaType(said.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Digest;
    use super::*;

    fn descriptor() -> String {
        serde_json::to_string(&Descriptor::new("x/y", Digest::sha256(b""), 0)).unwrap()
    }

    fn manifest() -> String {
        format!(r#"{{"schemaVersion":2,"config":{},"layers":[{0}]}}"#, descriptor())
    }

    #[test]
    fn the_form_decides_when_nothing_is_said() {
        assert!(matches!(Document::parse(manifest().as_bytes(), ""), Ok(Document::Manifest(_))));
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor());
        assert!(matches!(Document::parse(index.as_bytes(), "application/json"), Ok(Document::Index(_))));
        let empty = br#"{"schemaVersion":2,"manifests":null}"#;
        assert!(matches!(Document::parse(empty, media_type::OCI_INDEX), Ok(Document::Index(_))));
    }

    #[test]
    fn cve_2021_41190_no_document_is_both_manifest_and_index() {
        let d = descriptor();
        let both = format!(r#"{{"schemaVersion":2,"config":{d},"layers":[],"manifests":[{d}]}}"#);
        for announced in ["", media_type::OCI_INDEX, media_type::OCI_MANIFEST] {
            let error = Document::parse(both.as_bytes(), announced).unwrap_err();
            assert!(matches!(error, DocumentError::Ambiguous(_)), "{error}");
        }
        let error = Document::parse(manifest().as_bytes(), media_type::OCI_INDEX).unwrap_err();
        assert!(matches!(error, DocumentError::Mismatch { .. }), "{error}");
        let own = manifest().replacen('{', &format!(r#"{{"mediaType":"{}","#, media_type::OCI_MANIFEST), 1);
        let error = Document::parse(own.as_bytes(), media_type::DOCKER_MANIFEST).unwrap_err();
        assert!(matches!(error, DocumentError::Mismatch { .. }), "{error}");
    }

    #[test]
    fn refusals_say_what_the_thing_is() {
        let schema1 = br#"{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[],"history":[]}"#;
        assert!(matches!(Document::parse(schema1, ""), Err(DocumentError::Schema1)));
        let text =
            Document::parse(manifest().as_bytes(), "application/vnd.example+json").unwrap_err().to_string();
        assert!(text.contains("application/vnd.example+json"), "{text}");
        let version = br#"{"schemaVersion":3}"#;
        assert!(matches!(Document::parse(version, ""), Err(DocumentError::SchemaVersion(3))));
    }

    #[test]
    fn size_and_number_are_bounded() {
        let large = vec![b' '; MAX_DOCUMENT_BYTES + 1];
        assert!(matches!(Document::parse(&large, ""), Err(DocumentError::TooLarge(_))));
        let many = vec![descriptor(); MAX_DESCRIPTORS + 1].join(",");
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{many}]}}"#);
        assert!(matches!(Document::parse(index.as_bytes(), ""), Err(DocumentError::TooMany(4097))));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(Document::parse(deep.as_bytes(), ""), Err(DocumentError::Malformed(_))));
    }

    #[test]
    fn a_negative_size_is_no_size() {
        let lie = manifest().replace("\"size\":0", "\"size\":-1");
        assert!(matches!(Document::parse(lie.as_bytes(), ""), Err(DocumentError::Malformed(_))));
    }
}
