//! What images there are.

use oci::Reference;
use oci::image::{Descriptor, Digest, ImageConfig, Manifest};

use crate::{Images, Result};

/// A line of the list: one name of one image, or an image without a name.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The name, if it has one.
    pub reference: Option<Reference>,
    /// What the name means.
    pub target: Descriptor,
    /// The image's id; the target's digest where the image can't be read.
    pub id: Digest,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// The bytes of the files in its layers; of the compressed layers where it is not unpacked.
    pub size: u64,
    /// Its labels, sorted.
    pub labels: Vec<(String, String)>,
}

/// Which images are listed. All conditions have to hold; of several patterns for the name, one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Without a name, or with one.
    Dangling(bool),
    /// With this label, and this value if one is given.
    Label(String, Option<String>),
    /// Without this label, or with another value.
    NotLabel(String, Option<String>),
    /// The name matches; `*` and `?` are wild within a component.
    Reference(String),
    /// Made before that time, in nanoseconds since 1970.
    Before(i64),
    /// Made after that time.
    Since(i64),
}

impl Images {
    /// All names of all images that `filters` let through, newest image first.
    pub fn list(&self, filters: &[Filter]) -> Result<Vec<Listed>> {
        let references = self.store().references()?;
        let mut listed = Vec::new();
        for entry in references.entries() {
            let reference = entry.name().and_then(|name| name.parse().ok());
            let line = self.listed(reference, &entry.descriptor);
            if accept(filters, &line) {
                listed.push(line);
            }
        }
        listed.sort_by_cached_key(|line| (std::cmp::Reverse(line.time()), line.reference.clone()));
        Ok(listed)
    }

    pub(crate) fn listed(&self, reference: Option<Reference>, target: &Descriptor) -> Listed {
        let read = self.present_manifest(target).and_then(|(_, manifest)| {
            let config = self.config(&manifest)?;
            Ok((manifest, config))
        });
        match read {
            Ok((manifest, config)) => Listed {
                reference,
                target: target.clone(),
                id: manifest.config.digest,
                created: config.created.clone(),
                size: self.size(&manifest, &config),
                labels: config.config.labels.into_iter().collect(),
            },
            // A damaged image or an artifact is listed all the same, so that it can be seen and removed.
            Err(_) => Listed {
                reference,
                target: target.clone(),
                id: target.digest,
                created: None,
                size: target.size,
                labels: Vec::new(),
            },
        }
    }

    /// The bytes that the image's files take.
    pub fn size(&self, manifest: &Manifest, config: &ImageConfig) -> u64 {
        let layer_size = |chain_id: &Digest| self.snapshots().layer(chain_id).ok().map(|layer| layer.bytes);
        let unpacked: Option<u64> = config.chain_ids().iter().map(layer_size).sum();
        unpacked.unwrap_or_else(|| manifest.layers.iter().map(|layer| layer.size).sum())
    }
}

impl Listed {
    /// When it was made, in nanoseconds since 1970.
    fn time(&self) -> Option<i64> {
        oci::time::parse(self.created.as_deref()?)
    }

    fn has_label(&self, name: &str, value: Option<&String>) -> bool {
        self.labels.iter().any(|(label, found)| label == name && value.is_none_or(|wanted| wanted == found))
    }
}

/// Whether `filters` let a line through.
pub(crate) fn accept(filters: &[Filter], line: &Listed) -> bool {
    let (patterns, others): (Vec<&Filter>, Vec<&Filter>) =
        filters.iter().partition(|filter| matches!(filter, Filter::Reference(_)));
    others.iter().all(|filter| filter.accepts(line))
        && (patterns.is_empty() || patterns.iter().any(|filter| filter.accepts(line)))
}

impl Filter {
    fn accepts(&self, line: &Listed) -> bool {
        match self {
            Filter::Dangling(wanted) => line.reference.is_none() == *wanted,
            Filter::Label(name, value) => line.has_label(name, value.as_ref()),
            Filter::NotLabel(name, value) => !line.has_label(name, value.as_ref()),
            Filter::Reference(pattern) => line.reference.as_ref().is_some_and(|reference| {
                let (full, name) = (reference.familiar(), reference.familiar_name());
                matches(pattern, &full) || matches(pattern, &name)
            }),
            Filter::Before(time) => line.time().is_some_and(|made| made < *time),
            Filter::Since(time) => line.time().is_some_and(|made| made > *time),
        }
    }
}

/// Shell-style matching in which `*` and `?` don't match a slash.
fn matches(pattern: &str, text: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return text.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    let mut tail = text.chars();
    match (first, tail.next()) {
        ('*', None) => matches(rest, text),
        ('*', Some(next)) => matches(rest, text) || (next != '/' && matches(pattern, tail.as_str())),
        (_, None) => false,
        ('?', Some(next)) => next != '/' && matches(rest, tail.as_str()),
        (wanted, Some(next)) => wanted == next && matches(rest, tail.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_add_up_and_patterns_do_not() {
        let line = Listed {
            reference: Some("busybox:1".parse().unwrap()),
            target: Descriptor::new("", Digest::sha256(b""), 0),
            id: Digest::sha256(b""),
            created: Some("2024-01-26T12:00:00.5+01:00".to_owned()),
            size: 0,
            labels: vec![("a".to_owned(), "1".to_owned())],
        };
        let noon = oci::time::parse("2024-01-26T11:00:00Z").unwrap();
        let pattern = |text: &str| Filter::Reference(text.to_owned());
        let label = |value: &str| Filter::Label("a".to_owned(), Some(value.to_owned()));
        for (filters, wanted) in [
            (vec![], true),
            (vec![pattern("other"), pattern("busy*:1")], true),
            (vec![pattern("other")], false),
            (vec![pattern("busybox"), label("2")], false),
            (vec![label("1"), Filter::Since(noon), Filter::Before(noon + 1_000_000_000)], true),
            (vec![Filter::NotLabel("a".to_owned(), None)], false),
            (vec![Filter::NotLabel("a".to_owned(), Some("2".to_owned()))], true),
            (vec![Filter::Before(noon)], false),
        ] {
            assert_eq!(accept(&filters, &line), wanted, "{filters:?}");
        }
    }

    #[test]
    fn patterns_stay_within_a_component() {
        assert!(matches("busybox", "busybox"));
        assert!(matches("b*x:?", "busybox:1"));
        assert!(matches("r.test/*/app", "r.test/team/app"));
        assert!(!matches("r.test/*", "r.test/team/app"));
        assert!(!matches("busy", "busybox"));
        assert!(matches("*", "busybox"));
    }
}
