//! Platforms as `os/architecture[/variant]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::null_default;

/// What an image runs on, in Go's names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// Go's `GOARCH`: `amd64`, `arm64`, …
    #[serde(default, deserialize_with = "null_default")]
    pub architecture: String,
    /// Go's `GOOS`: `linux`.
    #[serde(default, deserialize_with = "null_default")]
    pub os: String,
    /// The version of the system, for Windows.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features that the system must have, for Windows.
    #[serde(rename = "os.features", default, skip_serializing_if = "Option::is_none")]
    pub os_features: Option<Vec<String>>,
    /// The CPU's variant: `v7` of `arm`, `v8` of `arm64`, `v2` of `amd64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a string names no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("platform {0:?} is malformed: expected os/architecture[/variant], as in linux/arm64/v8")]
pub struct PlatformError(String);

impl Platform {
    /// The platform that this program was built for.
    pub fn host() -> Platform {
        let (architecture, variant) = normalize(std::env::consts::ARCH, "");
        Platform { architecture, os: "linux".into(), variant, ..Platform::default() }
    }

    /// Whether an image for `self` is what someone who asks for `wanted` means: the same system and
    /// architecture, and the same variant where one is asked for (`v8` is what arm64 means without).
    pub fn satisfies(&self, wanted: &Platform) -> bool {
        let (architecture, variant) = normalize(&self.architecture, self.variant.as_deref().unwrap_or(""));
        let (wanted_architecture, wanted_variant) =
            normalize(&wanted.architecture, wanted.variant.as_deref().unwrap_or(""));
        self.os.eq_ignore_ascii_case(&wanted.os)
            && architecture == wanted_architecture
            && (wanted_variant.is_none() || variant == wanted_variant)
    }
}

/// Other names of an architecture brought to Go's, and variants that mean the default dropped.
fn normalize(architecture: &str, variant: &str) -> (String, Option<String>) {
    let (architecture, variant) = match (architecture.to_ascii_lowercase().as_str(), variant) {
        ("x86_64" | "x86-64" | "amd64", "v1" | "") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", other) => ("amd64", other),
        ("aarch64" | "arm64", "8" | "v8" | "") => ("arm64", ""),
        ("aarch64" | "arm64", other) => ("arm64", other),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("i386" | "i686" | "x86" | "386", _) => ("386", ""),
        ("powerpc64" | "ppc64", "") if cfg!(target_endian = "little") => ("ppc64le", ""),
        (_, variant) => (architecture, variant),
    };
    (architecture.into(), (!variant.is_empty()).then(|| variant.into()))
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Platform, PlatformError> {
        let mut parts = text.splitn(3, '/');
        let (os, architecture, variant) = (parts.next(), parts.next(), parts.next());
        let sound = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        };
        let (Some(os), Some(architecture)) = (os, architecture) else {
            return Err(PlatformError(text.into()));
        };
        if ![os, architecture].into_iter().chain(variant).all(sound) {
            return Err(PlatformError(text.into()));
        }
        let (architecture, variant) = normalize(architecture, variant.unwrap_or(""));
        Ok(Platform { architecture, os: os.to_ascii_lowercase(), variant, ..Platform::default() })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_brought_to_gos() {
        assert_eq!(platform("linux/x86_64").to_string(), "linux/amd64");
        assert_eq!(platform("linux/aarch64/v8").to_string(), "linux/arm64");
        assert_eq!(platform("linux/arm").to_string(), "linux/arm/v7");
        for bad in ["", "linux", "linux/", "/amd64", "linux/amd64/", "linux/am d64", "linux/amd64/v1/x"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_variant_matters_only_when_asked_for() {
        let arm64 = Platform {
            architecture: "arm64".into(),
            os: "linux".into(),
            variant: Some("v8".into()),
            ..Default::default()
        };
        assert!(arm64.satisfies(&platform("linux/arm64")));
        assert!(platform("linux/arm64").satisfies(&arm64));
        assert!(platform("linux/amd64/v3").satisfies(&platform("linux/amd64")));
        assert!(!platform("linux/arm/v6").satisfies(&platform("linux/arm/v7")));
        assert!(!platform("windows/amd64").satisfies(&platform("linux/amd64")));
    }
}
