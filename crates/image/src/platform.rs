//! Which images of an index are meant.

use oci::image::{Descriptor, Index, Kind, Platform};

use crate::{Error, Result};

/// What to take of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platforms {
    /// The image for one platform.
    One(Platform),
    /// All of them.
    All,
}

impl Default for Platforms {
    fn default() -> Platforms {
        Platforms::One(Platform::host())
    }
}

impl Platforms {
    /// The images of `index` that are wanted; `image` is named in the error.
    pub fn select<'a>(&self, index: &'a Index, image: &str) -> Result<Vec<&'a Descriptor>> {
        let wanted = match self {
            Platforms::All => return Ok(index.manifests.iter().collect()),
            Platforms::One(wanted) => wanted,
        };
        let images = || index.manifests.iter().filter(|child| is_image(child));
        let fits =
            |child: &&Descriptor| child.platform.as_ref().is_some_and(|offered| offered.satisfies(wanted));
        // The exact variant is better than one that merely runs.
        let exact = images().find(|child| child.platform.as_ref() == Some(wanted));
        let unlabelled = || images().find(|child| child.platform.is_none());
        exact.or_else(|| images().find(fits)).or_else(unlabelled).map(|found| vec![found]).ok_or_else(|| {
            let offered: Vec<String> =
                images().filter_map(|child| child.platform.as_ref()).map(ToString::to_string).collect();
            let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
            Error::NoPlatform { image: image.to_owned(), wanted: wanted.to_string(), offered }
        })
    }
}

/// Attestations of buildkit sit among the images, for the platform `unknown/unknown`.
fn is_image(child: &Descriptor) -> bool {
    let attestation = child.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
    matches!(child.kind(), Kind::Manifest | Kind::Index) && !attestation
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::image::{Digest, media_type};

    fn child(name: &str, platform: Option<&str>) -> Descriptor {
        let mut child = Descriptor::new(media_type::OCI_MANIFEST, Digest::sha256(name.as_bytes()), 1);
        child.platform = platform.map(|text| match text {
            "unknown" => {
                Platform { os: "unknown".into(), architecture: "unknown".into(), ..Platform::default() }
            }
            text => text.parse().unwrap(),
        });
        child
    }

    fn index(children: &[Descriptor]) -> Index {
        Index {
            schema_version: 2,
            media_type: None,
            artifact_type: None,
            manifests: children.to_vec(),
            subject: None,
            annotations: Default::default(),
        }
    }

    #[test]
    fn the_platform_decides_and_attestations_do_not_count() {
        let index = index(&[
            child("attestation", Some("unknown")),
            child("v6", Some("linux/arm/v6")),
            child("v7", Some("linux/arm/v7")),
            child("amd64", Some("linux/amd64")),
        ]);
        let select = |text: &str| Platforms::One(text.parse().unwrap()).select(&index, "x");
        assert_eq!(select("linux/amd64").unwrap()[0].digest, Digest::sha256(b"amd64"));
        assert_eq!(select("linux/arm/v7").unwrap()[0].digest, Digest::sha256(b"v7"));
        let message = select("linux/s390x").unwrap_err().to_string();
        assert_eq!(message, "x has no image for linux/s390x; it has linux/arm/v6, linux/arm/v7, linux/amd64");
        assert_eq!(Platforms::All.select(&index, "x").unwrap().len(), 4);
    }

    #[test]
    fn an_image_without_a_platform_is_better_than_none() {
        let index = index(&[child("only", None)]);
        assert_eq!(Platforms::default().select(&index, "x").unwrap().len(), 1);
    }
}
