//! Media types of the image specification and of Docker's schema 2, and what they mean.

/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI index: manifests of several platforms.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// An uncompressed OCI layer.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A gzip-compressed OCI layer.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A zstd-compressed OCI layer (zstd:chunked carries the same type).
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// The empty configuration `{}` of an artifact.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Docker's image manifest, version 2, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's uncompressed layer.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Docker's gzip-compressed layer.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker's manifest, version 2, schema 1: withdrawn.
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// The signed form of schema 1.
pub const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// A plain tar archive.
    None,
    /// gzip, one or more members.
    Gzip,
    /// Zstandard, one or more frames; skippable ones (zstd:chunked) are skipped.
    Zstd,
}

impl Compression {
    /// What a stream's first bytes show (four are enough); anything unknown counts as uncompressed.
    pub fn detect(start: &[u8]) -> Compression {
        match start {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// The media type of an OCI layer so compressed.
    pub const fn oci_layer(self) -> &'static str {
        match self {
            Compression::None => OCI_LAYER,
            Compression::Gzip => OCI_LAYER_GZIP,
            Compression::Zstd => OCI_LAYER_ZSTD,
        }
    }
}

/// What a media type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An image or artifact manifest, OCI's or Docker's.
    Manifest,
    /// An index or manifest list.
    Index,
    /// An image configuration.
    Config,
    /// A layer; Docker's older clients push "foreign" layers that live elsewhere.
    Layer(Compression),
    /// Docker's schema 1, which is refused.
    Schema1,
    /// Anything else: the content of an artifact.
    Other,
}

impl Kind {
    /// The meaning of `media_type`; parameters after `;` are ignored.
    pub fn of(media_type: &str) -> Kind {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        match essence {
            OCI_MANIFEST | DOCKER_MANIFEST => Kind::Manifest,
            OCI_INDEX | DOCKER_MANIFEST_LIST => Kind::Index,
            OCI_CONFIG | DOCKER_CONFIG => Kind::Config,
            DOCKER_SCHEMA1 | DOCKER_SCHEMA1_SIGNED => Kind::Schema1,
            _ => layer(essence).map_or(Kind::Other, Kind::Layer),
        }
    }
}

/// The compression of a layer type, distributable or not, OCI's or Docker's.
fn layer(essence: &str) -> Option<Compression> {
    let oci = essence
        .strip_prefix("application/vnd.oci.image.layer.v1.")
        .or_else(|| essence.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1."));
    let docker = essence
        .strip_prefix("application/vnd.docker.image.rootfs.diff.")
        .or_else(|| essence.strip_prefix("application/vnd.docker.image.rootfs.foreign.diff."));
    match oci.or(docker)? {
        "tar" => Some(Compression::None),
        "tar+gzip" | "tar.gzip" => Some(Compression::Gzip),
        "tar+zstd" | "tar.zstd" => Some(Compression::Zstd),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_both_families() {
        assert_eq!(Kind::of(OCI_MANIFEST), Kind::Manifest);
        assert_eq!(Kind::of("application/vnd.oci.image.index.v1+json; charset=utf-8"), Kind::Index);
        assert_eq!(Kind::of(DOCKER_MANIFEST_LIST), Kind::Index);
        assert_eq!(Kind::of(DOCKER_SCHEMA1_SIGNED), Kind::Schema1);
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            assert_eq!(Kind::of(compression.oci_layer()), Kind::Layer(compression));
        }
        assert_eq!(Kind::of(DOCKER_LAYER), Kind::Layer(Compression::None));
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        assert_eq!(Kind::of(foreign), Kind::Layer(Compression::Gzip));
        assert_eq!(Kind::of("application/vnd.oci.image.layer.v1.tar+encrypted"), Kind::Other);
        assert_eq!(Kind::of(""), Kind::Other);
    }

    #[test]
    fn magic_numbers() {
        assert_eq!(Compression::detect(&[0x1f, 0x8b, 8, 0]), Compression::Gzip);
        assert_eq!(Compression::detect(&[0x28, 0xb5, 0x2f, 0xfd]), Compression::Zstd);
        assert_eq!(Compression::detect(&[0x51, 0x2a, 0x4d, 0x18]), Compression::Zstd);
        assert_eq!(Compression::detect(b"etc/"), Compression::None);
        assert_eq!(Compression::detect(b""), Compression::None);
    }
}
