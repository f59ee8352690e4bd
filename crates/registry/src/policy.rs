//! `containers-policy.json(5)`: which images may be used.
//!
//! All requirements of the most specific scope have to hold. What is not understood is refused, as a policy that
//! is read too mildly protects nobody. GPG signatures (`signedBy`) and keyless ones (`fulcio`, `pki`) are refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci::Reference;
use oci::image::Digest;
use serde::Deserialize;

use crate::file::FileError;
use crate::signature::{PublicKey, Signature};

/// Where an image comes from, as policy.json names it.
pub const TRANSPORT: &str = "docker";

/// The rules of this host.
#[derive(Clone, Debug, Deserialize)]
pub struct Policy {
    default: Vec<Requirement>,
    #[serde(default)]
    transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
    /// Where it was read from, for messages.
    #[serde(skip)]
    path: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Requirement {
    InsecureAcceptAnything,
    Reject,
    SignedBy,
    #[serde(rename_all = "camelCase")]
    SigstoreSigned {
        key_path: Option<PathBuf>,
        key_paths: Option<Vec<PathBuf>>,
        key_data: Option<String>,
        key_datas: Option<Vec<String>>,
        fulcio: Option<serde::de::IgnoredAny>,
        pki: Option<serde::de::IgnoredAny>,
        #[serde(default)]
        signed_identity: Identity,
    },
}

/// Which name a signature has to carry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Identity {
    MatchExact,
    #[default]
    MatchRepoDigestOrExact,
    MatchRepository,
    #[serde(rename_all = "camelCase")]
    ExactReference {
        docker_reference: String,
    },
    #[serde(rename_all = "camelCase")]
    ExactRepository {
        docker_repository: String,
    },
    #[serde(rename = "remapIdentity", rename_all = "camelCase")]
    Remap {
        prefix: String,
        signed_prefix: String,
    },
}

/// Why an image may not be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The policy can't be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The policy says no.
    #[error("{image} is refused by {path}: {reason}")]
    Refused {
        /// The reference.
        image: String,
        /// The policy.
        path: PathBuf,
        /// The requirement that does not hold.
        reason: String,
    },
}

impl Policy {
    /// The user's policy, else the host's; without any, everything is accepted, as Docker does.
    pub fn from_environment() -> Result<Policy, PolicyError> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let own = home.map(|home| home.join(".config/containers/policy.json"));
        let files = own.into_iter().chain([PathBuf::from("/etc/containers/policy.json")]);
        match files.into_iter().find(|path| path.exists()) {
            Some(path) => Policy::load(&path),
            None => Ok(Policy::accept_anything()),
        }
    }

    /// A policy that refuses nothing.
    pub fn accept_anything() -> Policy {
        Policy {
            default: vec![Requirement::InsecureAcceptAnything],
            transports: BTreeMap::new(),
            path: PathBuf::new(),
        }
    }

    /// Reads a policy.
    pub fn load(path: &Path) -> Result<Policy, PolicyError> {
        let text = fs::read_to_string(path).map_err(|source| FileError::io("read", path, source))?;
        let syntax = |reason: String| FileError::syntax(path, reason);
        let mut policy: Policy = serde_json::from_str(&text).map_err(|error| syntax(error.to_string()))?;
        path.clone_into(&mut policy.path);
        let scopes = policy.transports.values().flatten();
        let mut empty = scopes.filter(|(_, requirements)| requirements.is_empty()).map(|(scope, _)| scope);
        match empty.next() {
            Some(scope) => Err(syntax(format!("scope {scope:?} has no requirement")).into()),
            None if policy.default.is_empty() => Err(syntax("default has no requirement".to_owned()).into()),
            None => Ok(policy),
        }
    }

    /// Whether a decision on `image` needs its signatures.
    pub fn needs_signatures(&self, image: &Reference) -> bool {
        let requirements = self.requirements(image);
        requirements.iter().any(|requirement| matches!(requirement, Requirement::SigstoreSigned { .. }))
    }

    /// Decides on the image `image` whose manifest or index is `digest`.
    pub fn check(
        &self,
        image: &Reference,
        digest: &Digest,
        signatures: &[Signature],
    ) -> Result<(), PolicyError> {
        for requirement in self.requirements(image) {
            requirement.check(image, digest, signatures).map_err(|reason| PolicyError::Refused {
                image: image.familiar(),
                path: self.path.clone(),
                reason,
            })?;
        }
        Ok(())
    }

    /// The requirements of the most specific scope: the reference, its repository, each parent, the host,
    /// wildcards, the transport, the default.
    fn requirements(&self, image: &Reference) -> &[Requirement] {
        let Some(scopes) = self.transports.get(TRANSPORT) else { return &self.default };
        let name = image.name();
        let parents = std::iter::successors(Some(name.as_str()), |scope| Some(scope.rsplit_once('/')?.0));
        let host = image.domain().split(':').next().unwrap_or_default();
        let domains = std::iter::successors(host.split_once('.'), |(_, rest)| rest.split_once('.'));
        let candidates = std::iter::once(image.to_string())
            .chain(parents.map(str::to_owned))
            .chain(domains.map(|(_, domain)| format!("*.{domain}")))
            .chain([String::new()]);
        candidates.into_iter().find_map(|scope| scopes.get(&scope)).unwrap_or(&self.default)
    }
}

impl Requirement {
    fn check(&self, image: &Reference, digest: &Digest, signatures: &[Signature]) -> Result<(), String> {
        match self {
            Requirement::InsecureAcceptAnything => Ok(()),
            Requirement::Reject => Err("the policy rejects it".to_owned()),
            Requirement::SignedBy => Err("it asks for a GPG signature, which is not supported".to_owned()),
            Requirement::SigstoreSigned { fulcio: Some(_), .. }
            | Requirement::SigstoreSigned { pki: Some(_), .. } => {
                Err("it asks for a keyless signature, which is not supported; use keyPath".to_owned())
            }
            Requirement::SigstoreSigned { signed_identity, .. } => {
                let keys = self.keys()?;
                check_signatures(&keys, signed_identity, image, digest, signatures)
            }
        }
    }

    fn keys(&self) -> Result<Vec<PublicKey>, String> {
        let Requirement::SigstoreSigned { key_path, key_paths, key_data, key_datas, .. } = self else {
            return Ok(Vec::new());
        };
        let mut keys = Vec::new();
        for path in key_path.iter().chain(key_paths.iter().flatten()) {
            let pem = fs::read_to_string(path).map_err(|error| format!("key {}: {error}", path.display()))?;
            keys.push(PublicKey::from_pem(&pem).map_err(|error| format!("key {}: {error}", path.display()))?);
        }
        for data in key_data.iter().chain(key_datas.iter().flatten()) {
            let pem = STANDARD.decode(data).map_err(|error| format!("keyData: {error}"))?;
            let pem = String::from_utf8(pem).map_err(|_| "keyData: not UTF-8".to_owned())?;
            keys.push(PublicKey::from_pem(&pem).map_err(|error| format!("keyData: {error}"))?);
        }
        if keys.is_empty() { Err("sigstoreSigned names no key".to_owned()) } else { Ok(keys) }
    }
}

/// One good signature is enough; the reason why the others are none is told where there is no good one.
fn check_signatures(
    keys: &[PublicKey],
    identity: &Identity,
    image: &Reference,
    digest: &Digest,
    signatures: &[Signature],
) -> Result<(), String> {
    let mut reasons = Vec::new();
    for signature in signatures {
        let signed = keys.iter().find_map(|key| signature.verify(key).ok());
        let Some(signed) = signed else {
            reasons.push("a signature is by none of the keys".to_owned());
            continue;
        };
        if signed.manifest != *digest {
            reasons.push(format!("a signature is for {}", signed.manifest));
        } else if !identity.accepts(&signed.reference, image) {
            reasons.push(format!("a signature is for the name {:?}", signed.reference));
        } else {
            return Ok(());
        }
    }
    if reasons.is_empty() { Err("it is not signed".to_owned()) } else { Err(reasons.join(", ")) }
}

impl Identity {
    /// Whether a signature for `signed` is good for `image`.
    fn accepts(&self, signed: &str, image: &Reference) -> bool {
        let Ok(signed) = signed.parse::<Reference>() else { return false };
        match self {
            Identity::MatchExact => image.tag().is_some() && signed == *image,
            Identity::MatchRepoDigestOrExact => match image.tag() {
                // cosign signs names without a tag: they are good for the digest, whatever its tags.
                Some(_) if signed.tag().is_some() => signed == *image,
                _ => signed.name() == image.name(),
            },
            Identity::MatchRepository => signed.name() == image.name(),
            Identity::ExactReference { docker_reference } => {
                docker_reference.parse::<Reference>().is_ok_and(|wanted| wanted == signed)
            }
            Identity::ExactRepository { docker_repository } => {
                docker_repository.parse::<Reference>().is_ok_and(|wanted| wanted.name() == signed.name())
            }
            Identity::Remap { prefix, signed_prefix } => {
                let name = image.name();
                let rest = name
                    .strip_prefix(prefix.as_str())
                    .filter(|rest| rest.is_empty() || rest.starts_with(['/', ':', '@']));
                match rest {
                    Some(rest) => signed.name() == format!("{signed_prefix}{rest}"),
                    None => signed.name() == name,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::tests::{Signer, payload};

    fn policy(text: &str) -> Policy {
        serde_json::from_str(text).unwrap()
    }

    fn image(text: &str) -> Reference {
        text.parse().unwrap()
    }

    fn decide(policy: &Policy, name: &str) -> bool {
        policy.check(&image(name), &Digest::sha256(b"x"), &[]).is_ok()
    }

    #[test]
    fn the_most_specific_scope_decides() {
        let policy = policy(
            r#"{"default":[{"type":"reject"}],"transports":{"docker":{
                "r.test":[{"type":"insecureAcceptAnything"}],
                "r.test/team":[{"type":"reject"}],
                "r.test/team/app:1":[{"type":"insecureAcceptAnything"}],
                "*.corp.test":[{"type":"insecureAcceptAnything"}]}}}"#,
        );
        for (name, accepted) in [
            ("r.test/x", true),
            ("r.test/team/app", false),
            ("r.test/team/app:1", true),
            ("r.test/teamwork", true),
            ("a.b.corp.test:5000/x", true),
            ("corp.test/x", false),
            ("busybox", false),
        ] {
            assert_eq!(decide(&policy, name), accepted, "{name}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(serde_json::from_str::<Policy>(r#"{"default":[{"type":"newFashion"}]}"#).is_err());
        assert!(!decide(&policy(r#"{"default":[{"type":"signedBy","keyType":"GPGKeys"}]}"#), "x"));
        assert!(!decide(&policy(r#"{"default":[{"type":"sigstoreSigned","fulcio":{}}]}"#), "x"));
        assert!(!decide(&policy(r#"{"default":[{"type":"sigstoreSigned"}]}"#), "x"));
    }

    #[test]
    fn signatures_bind_name_and_digest() {
        let signer = Signer::ed25519();
        let key = STANDARD.encode(signer.public_pem());
        let policy = |identity: &str| {
            policy(&format!(
                r#"{{"default":[{{"type":"sigstoreSigned","keyData":"{key}","signedIdentity":{{"type":"{identity}"}}}}]}}"#
            ))
        };
        let digest = Digest::sha256(b"image");
        let signature = signer.sign(payload("r.test/app", &digest));
        let check = |identity: &str, name: &str, digest: &Digest| {
            policy(identity).check(&image(name), digest, std::slice::from_ref(&signature))
        };
        check("matchRepository", "r.test/app:1", &digest).unwrap();
        check("matchRepoDigestOrExact", "r.test/app:1", &digest).unwrap();
        assert!(check("matchExact", "r.test/app:1", &digest).is_err());
        assert!(check("matchRepository", "r.test/other:1", &digest).is_err());
        let message =
            check("matchRepository", "r.test/app:1", &Digest::sha256(b"y")).unwrap_err().to_string();
        assert!(message.contains(&digest.to_string()), "{message}");
        let stranger = Signer::ed25519().sign(payload("r.test/app", &digest));
        assert!(policy("matchRepository").check(&image("r.test/app"), &digest, &[stranger]).is_err());
    }
}
