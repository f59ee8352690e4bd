//! cosign's signatures by key: a small JSON document that names an image and its digest, signed with ECDSA over
//! P-256 or with Ed25519, and kept in the image's own repository under the tag `sha256-<hex>.sig`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci::image::{Descriptor, Digest, Document};
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use serde::{Deserialize, Serialize};

use crate::{Error, Repository};

/// The media type of the signed document.
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation with the signature itself.
const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// The most signatures of one image that are read.
const MAX_SIGNATURES: usize = 64;
/// The largest signed document that is read.
const MAX_PAYLOAD: u64 = 128 * 1024;

/// The DER of a SubjectPublicKeyInfo up to the key itself (RFC 5480 section 2, RFC 8410 section 4).
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A key that signatures are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// An uncompressed point on NIST P-256.
    P256(Vec<u8>),
    /// 32 bytes.
    Ed25519(Vec<u8>),
}

/// Why a key or signature is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The key isn't PEM.
    #[error("is no PEM of a public key")]
    NoPem,
    /// Another kind of key.
    #[error("is no key of ECDSA over P-256 nor of Ed25519, which are the ones that are supported")]
    UnknownKey,
    /// The signature isn't by the key.
    #[error("the signature is not by this key")]
    Wrong,
    /// The signed document isn't one.
    #[error("the signed document does not name an image and its digest")]
    Malformed,
}

/// A signature as found; nothing in it is to be trusted yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The signed document, byte for byte.
    pub payload: Vec<u8>,
    /// The signature over it.
    pub signature: Vec<u8>,
}

/// What a signer vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The name, with or without a tag.
    pub reference: String,
    /// The digest of the manifest or index.
    pub manifest: Digest,
}

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----`.
    pub fn from_pem(pem: &str) -> Result<PublicKey, SignatureError> {
        let (_, rest) = pem.split_once("-----BEGIN PUBLIC KEY-----").ok_or(SignatureError::NoPem)?;
        let (body, _) = rest.split_once("-----END PUBLIC KEY-----").ok_or(SignatureError::NoPem)?;
        let body: String = body.split_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| SignatureError::NoPem)?;
        match (der.strip_prefix(&P256_PREFIX[..]), der.strip_prefix(&ED25519_PREFIX[..])) {
            (Some(key), _) if key.len() == 65 => Ok(PublicKey::P256(key.to_vec())),
            (_, Some(key)) if key.len() == 32 => Ok(PublicKey::Ed25519(key.to_vec())),
            _ => Err(SignatureError::UnknownKey),
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let (algorithm, key): (&dyn VerificationAlgorithm, _) = match self {
            PublicKey::P256(key) => (&ECDSA_P256_SHA256_ASN1, key),
            PublicKey::Ed25519(key) => (&ED25519, key),
        };
        UnparsedPublicKey::new(algorithm, key).verify(message, signature).map_err(|_| SignatureError::Wrong)
    }
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    identity: SignedIdentity,
    image: SignedImage,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct SignedIdentity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

#[derive(Deserialize)]
struct SignedImage {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

impl Signature {
    /// What the signature vouches for, if it is by `key`.
    pub fn verify(&self, key: &PublicKey) -> Result<Signed, SignatureError> {
        key.verify(&self.payload, &self.signature)?;
        let payload: Payload =
            serde_json::from_slice(&self.payload).map_err(|_| SignatureError::Malformed)?;
        if payload.critical.kind != "cosign container image signature" {
            return Err(SignatureError::Malformed);
        }
        Ok(Signed { reference: payload.critical.identity.reference, manifest: payload.critical.image.digest })
    }
}

impl Repository {
    /// The cosign signatures of the manifest or index `digest`; none is an empty list.
    pub async fn signatures(&self, digest: &Digest) -> Result<Vec<Signature>, Error> {
        let tag = format!("{}-{}.sig", digest.algorithm().name(), digest.hex());
        let manifest = match self.manifest_by_tag(&tag).await {
            Ok(found) => match found.document {
                Document::Manifest(manifest) => manifest,
                Document::Index(_) => return Ok(Vec::new()),
            },
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut signatures = Vec::new();
        for layer in
            manifest.layers.iter().filter(|layer| layer.media_type == SIMPLE_SIGNING).take(MAX_SIGNATURES)
        {
            let Some(signature) = signature_of(layer) else { continue };
            if layer.size > MAX_PAYLOAD {
                continue;
            }
            let payload = self.small_blob(layer).await?.to_vec();
            signatures.push(Signature { payload, signature });
        }
        Ok(signatures)
    }
}

fn signature_of(layer: &Descriptor) -> Option<Vec<u8>> {
    STANDARD.decode(layer.annotations.get(SIGNATURE_ANNOTATION)?).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    pub(crate) enum Signer {
        P256(EcdsaKeyPair),
        Ed25519(Ed25519KeyPair),
    }

    impl Signer {
        pub(crate) fn ed25519() -> Signer {
            let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            Signer::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
        }

        fn p256() -> Signer {
            let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
            let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            Signer::P256(EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap())
        }

        pub(crate) fn public_pem(&self) -> String {
            let der = match self {
                Signer::P256(pair) => [&P256_PREFIX[..], pair.public_key().as_ref()].concat(),
                Signer::Ed25519(pair) => [&ED25519_PREFIX[..], pair.public_key().as_ref()].concat(),
            };
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
        }

        pub(crate) fn sign(&self, payload: Vec<u8>) -> Signature {
            let signature = match self {
                Signer::P256(pair) => pair.sign(&SystemRandom::new(), &payload).unwrap().as_ref().to_vec(),
                Signer::Ed25519(pair) => pair.sign(&payload).as_ref().to_vec(),
            };
            Signature { payload, signature }
        }
    }

    pub(crate) fn payload(reference: &str, digest: &Digest) -> Vec<u8> {
        serde_json::to_vec(&serde_json::json!({ "critical": {
            "identity": { "docker-reference": reference },
            "image": { "docker-manifest-digest": digest },
            "type": "cosign container image signature",
        }, "optional": null }))
        .unwrap()
    }

    #[test]
    fn both_kinds_of_keys_verify_what_they_signed_and_nothing_else() {
        let digest = Digest::sha256(b"image");
        for signer in [Signer::p256(), Signer::ed25519()] {
            let key = PublicKey::from_pem(&signer.public_pem()).unwrap();
            let mut signature = signer.sign(payload("r.test/app", &digest));
            let signed = signature.verify(&key).unwrap();
            assert_eq!(signed, Signed { reference: "r.test/app".into(), manifest: digest });
            signature.payload.push(b' ');
            assert_eq!(signature.verify(&key), Err(SignatureError::Wrong));
        }
    }

    #[test]
    fn a_key_of_openssl_is_read() {
        let pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEhyQCx0E9wQWSFI9ULGwy3BuRklnt\nIqozONbbdbqz11hlRJy9c7SG+hdcFl9jE9uE/dwtuwU2MqU9T/cN0YkWww==\n-----END PUBLIC KEY-----\n";
        assert!(matches!(PublicKey::from_pem(pem), Ok(PublicKey::P256(_))));
        assert_eq!(PublicKey::from_pem("x"), Err(SignatureError::NoPem));
        let short = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----";
        assert_eq!(PublicKey::from_pem(short), Err(SignatureError::UnknownKey));
    }
}
