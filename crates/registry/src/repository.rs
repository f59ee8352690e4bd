//! One repository, on whichever of its servers answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hyper::Method;
use hyper::header::{self, HeaderMap};
use oci::Reference;
use oci::image::{Descriptor, Digest, Document, Hasher, Index, MAX_DOCUMENT_BYTES, media_type};
use tokio::sync::Semaphore;

use crate::auth::Credentials;
use crate::body::Payload;
use crate::config::{Config, Endpoint};
use crate::download::Download;
use crate::error::with_causes;
use crate::retry::Patience;
use crate::session::{Request, Session, SharedSession};
use crate::upload::{Upload, Uploaded};
use crate::{Error, url};

/// What a manifest may be announced as; schema 1 is not asked for.
const ACCEPT: [&str; 4] = [
    media_type::OCI_INDEX,
    media_type::DOCKER_MANIFEST_LIST,
    media_type::OCI_MANIFEST,
    media_type::DOCKER_MANIFEST,
];
/// How many segments of large blobs may wait in memory.
const SEGMENTS_AHEAD: usize = 3;
/// The largest list of tags that is read.
const MAX_LIST_BYTES: usize = 16 << 20;
/// The most pages of a list that are read.
const MAX_PAGES: usize = 1000;

/// What a repository is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To read by tag.
    PullTag,
    /// To read by digest.
    PullDigest,
    /// To write; mirrors are left out.
    Push,
}

/// The servers of a repository, best first.
pub struct Repository {
    reference: Reference,
    sessions: Vec<SharedSession>,
    /// The servers that failed and are not asked again, a bit each.
    failed: AtomicU64,
    budget: Arc<Semaphore>,
}

/// A manifest or index as it came, and what it was announced as.
#[derive(Clone, Debug)]
pub struct RawDocument {
    /// The media type, digest and size.
    pub descriptor: Descriptor,
    /// The bytes, whose digest was checked.
    pub bytes: Bytes,
    /// The parsed form.
    pub document: Document,
}

impl Repository {
    /// Finds the servers; nothing is sent yet. `credentials` are used instead of stored ones.
    pub fn open(
        config: &Config,
        reference: &Reference,
        purpose: Purpose,
        patience: Patience,
        credentials: Option<Credentials>,
    ) -> Result<Repository, Error> {
        let by_digest = purpose == Purpose::PullDigest;
        let endpoints = config.endpoints(reference.domain(), reference.path(), by_digest)?;
        let wanted = |endpoint: &Endpoint| match purpose {
            Purpose::Push => endpoint.capabilities.push && !endpoint.mirror,
            Purpose::PullTag => endpoint.capabilities.pull || endpoint.capabilities.resolve,
            Purpose::PullDigest => endpoint.capabilities.pull,
        };
        let mut sessions = Vec::new();
        for endpoint in endpoints.into_iter().filter(wanted).take(64) {
            // A mirror that is down should not hold up the registry behind it.
            let attempts = if endpoint.mirror { patience.attempts.min(2) } else { patience.attempts };
            let patience = Patience { attempts, ..patience };
            sessions.push(Arc::new(Session::new(config, endpoint, patience, credentials.clone())?));
        }
        let budget = Arc::new(Semaphore::new(SEGMENTS_AHEAD));
        Ok(Repository { reference: reference.clone(), sessions, failed: AtomicU64::new(0), budget })
    }

    /// What was opened.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Which digest `tag` means now, without fetching the manifest; `None` where no server says it.
    pub async fn resolve(&self, tag: &str) -> Result<Option<Digest>, Error> {
        let asked = self.first(
            |endpoint| endpoint.capabilities.resolve,
            async |session| {
                let request = manifest_request(session, Method::HEAD, tag);
                let answer = session.send(&request).await?;
                Ok(content_digest(answer.response.headers()))
            },
        );
        asked.await
    }

    /// The manifest or index that `tag` means.
    pub async fn manifest_by_tag(&self, tag: &str) -> Result<RawDocument, Error> {
        self.first(
            |endpoint| endpoint.capabilities.resolve,
            async |session| {
                let (headers, bytes) = self.fetch_document(session, tag).await?;
                let announced = content_digest(&headers);
                let mut hasher =
                    Hasher::new(announced.map_or(oci::image::Algorithm::Sha256, |d| d.algorithm()));
                hasher.update(&bytes);
                let found = hasher.finish();
                if let Some(expected) = announced.filter(|expected| *expected != found) {
                    return Err(Error::WrongDigest { what: self.named(tag), expected, found });
                }
                self.document(&headers, bytes, found, tag)
            },
        )
        .await
    }

    /// The manifest or index with this digest. A descriptor of size 0 says nothing about the size.
    pub async fn manifest(&self, descriptor: &Descriptor) -> Result<RawDocument, Error> {
        let name = descriptor.digest.to_string();
        self.first(
            |endpoint| endpoint.capabilities.pull,
            async |session| {
                let (headers, bytes) = self.fetch_document(session, &name).await?;
                let what = || self.named(&name);
                let found = Digest::of(descriptor.digest.algorithm(), &bytes);
                if found != descriptor.digest {
                    return Err(Error::WrongDigest { what: what(), expected: descriptor.digest, found });
                }
                let (expected, found) = (descriptor.size, bytes.len() as u64);
                if expected != 0 && expected != found {
                    return Err(Error::WrongSize { what: what(), expected, found });
                }
                self.document(&headers, bytes, descriptor.digest, &name)
            },
        )
        .await
    }

    async fn fetch_document(&self, session: &Session, name: &str) -> Result<(HeaderMap, Bytes), Error> {
        session.fetch(&manifest_request(session, Method::GET, name), MAX_DOCUMENT_BYTES).await
    }

    fn document(
        &self,
        headers: &HeaderMap,
        bytes: Bytes,
        digest: Digest,
        name: &str,
    ) -> Result<RawDocument, Error> {
        let announced = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let announced = announced.unwrap_or_default();
        let document = Document::parse(&bytes, announced)
            .map_err(|source| Error::Document { what: self.named(name), source })?;
        let descriptor = Descriptor::new(document.media_type(), digest, bytes.len() as u64);
        Ok(RawDocument { descriptor, bytes, document })
    }

    fn named(&self, tag_or_digest: &str) -> String {
        let separator = if tag_or_digest.contains(':') { '@' } else { ':' };
        format!("{}{separator}{tag_or_digest}", self.reference.familiar_name())
    }

    /// A small blob, such as an image's configuration, checked.
    pub async fn small_blob(&self, descriptor: &Descriptor) -> Result<Bytes, Error> {
        let what = self.named(&descriptor.digest.to_string());
        let (expected, limit) = (descriptor.size, MAX_DOCUMENT_BYTES);
        if expected > limit as u64 {
            return Err(Error::TooLarge { what, limit });
        }
        self.first(
            |endpoint| endpoint.capabilities.pull,
            async |session| {
                let target = session.target(&format!("blobs/{}", descriptor.digest));
                let request = Request::new(Method::GET, target, session.scope("pull"));
                let (_, bytes) = session.fetch(&request, limit).await?;
                let found = Digest::of(descriptor.digest.algorithm(), &bytes);
                if bytes.len() as u64 != expected {
                    return Err(Error::WrongSize { what: what.clone(), expected, found: bytes.len() as u64 });
                }
                if found != descriptor.digest {
                    return Err(Error::WrongDigest {
                        what: what.clone(),
                        expected: descriptor.digest,
                        found,
                    });
                }
                Ok(bytes)
            },
        )
        .await
    }

    /// The servers that a blob can be downloaded from, best first.
    pub fn sources(&self) -> usize {
        self.sessions.len()
    }

    /// Whether `source` is worth asking: it may hand out blobs and has not failed yet.
    pub fn is_alive(&self, source: usize) -> bool {
        self.sessions[source].endpoint.capabilities.pull
            && self.failed.load(Ordering::Relaxed) & (1 << source) == 0
    }

    /// Remembers that `source` failed, so that it is asked last from now on.
    pub fn mark_failed(&self, source: usize) {
        if source + 1 < self.sessions.len() {
            self.failed.fetch_or(1 << source, Ordering::Relaxed);
        }
    }

    /// The bytes of a blob from `offset` on, from one source. The caller checks the digest.
    pub fn download(&self, source: usize, descriptor: &Descriptor, offset: u64) -> Download {
        let session = self.sessions[source].clone();
        let target = session.target(&format!("blobs/{}", descriptor.digest));
        let what = self.named(&descriptor.digest.to_string());
        Download::new(session, what, target, offset, descriptor.size, self.budget.clone())
    }

    /// What refers to `subject`: signatures, attestations, SBOMs. Falls back to the tag that registries without
    /// the referrers API use (distribution-spec, "Listing Referrers").
    pub async fn referrers(&self, subject: &Digest, kind: Option<&str>) -> Result<Vec<Descriptor>, Error> {
        let listed = self.first(
            |endpoint| endpoint.capabilities.pull,
            async |session| {
                let mut target = session.target(&format!("referrers/{subject}"));
                if let Some(kind) = kind {
                    target = url::with_query(&target, "artifactType", kind);
                }
                let request = Request::new(Method::GET, target, session.scope("pull"));
                let (_, bytes) = session.fetch(&request, MAX_DOCUMENT_BYTES).await?;
                self.parse_index(&bytes, "referrers")
            },
        );
        let index = match listed.await {
            Err(error) if error.is_not_found() => {
                let tag = format!("{}-{}", subject.algorithm().name(), subject.hex());
                match self.manifest_by_tag(&tag).await {
                    Ok(RawDocument { document: Document::Index(index), .. }) => *index,
                    Ok(_) => return Ok(Vec::new()),
                    Err(error) if error.is_not_found() => return Ok(Vec::new()),
                    Err(error) => return Err(error),
                }
            }
            listed => listed?,
        };
        let wanted = |descriptor: &Descriptor| kind.is_none() || descriptor.artifact_type.as_deref() == kind;
        Ok(index.manifests.into_iter().filter(wanted).collect())
    }

    fn parse_index(&self, bytes: &[u8], name: &str) -> Result<Index, Error> {
        match Document::parse(bytes, media_type::OCI_INDEX) {
            Ok(Document::Index(index)) => Ok(*index),
            Ok(Document::Manifest(_)) => Err(Error::Protocol {
                url: self.named(name),
                reason: "sends a manifest where an index is due".to_owned(),
            }),
            Err(source) => Err(Error::Document { what: self.named(name), source }),
        }
    }

    /// All tags.
    pub async fn tags(&self) -> Result<Vec<String>, Error> {
        #[derive(serde::Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        self.first(
            |endpoint| endpoint.capabilities.resolve,
            async |session| {
                let mut tags = Vec::new();
                let mut target = session.target("tags/list");
                for _ in 0..MAX_PAGES {
                    let request = Request::new(Method::GET, target, session.scope("pull"));
                    let (headers, bytes) = session.fetch(&request, MAX_LIST_BYTES).await?;
                    let page: Page = serde_json::from_slice(&bytes).map_err(|error| Error::Protocol {
                        url: request.target.clone(),
                        reason: format!("sends no list of tags: {error}"),
                    })?;
                    tags.extend(page.tags.unwrap_or_default());
                    match next_page(&headers) {
                        Some(next) => target = next,
                        None => break,
                    }
                }
                // The specification wants them sorted, but not every registry does so.
                tags.sort_unstable();
                Ok(tags)
            },
        )
        .await
    }

    /// Brings a blob into the repository.
    pub async fn upload(&self, upload: &Upload) -> Result<Uploaded, Error> {
        self.writable()?.upload(upload).await
    }

    /// Whether the repository has the blob already.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        self.writable()?.has_blob(digest).await
    }

    /// Puts a manifest or index; `name` is a tag or its digest.
    pub async fn put_manifest(&self, name: &str, kind: &str, bytes: Bytes) -> Result<(), Error> {
        let session = self.writable()?;
        let mut request = Request::new(
            Method::PUT,
            session.target(&format!("manifests/{name}")),
            session.scope("pull,push"),
        )
        .header(header::CONTENT_TYPE, kind);
        request.payload = Payload::Bytes(bytes);
        session.send(&request).await.map(drop)
    }

    /// Asks the registry whether it takes the credentials (`GET /v2/`).
    pub async fn ping(&self) -> Result<(), Error> {
        let session = self.writable()?;
        let target = format!("{}/", session.endpoint.base_path);
        session.send(&Request::new(Method::GET, target, Vec::new())).await.map(drop)
    }

    fn writable(&self) -> Result<&Session, Error> {
        self.sessions.last().map(AsRef::as_ref).ok_or_else(|| Error::Protocol {
            url: self.reference.name(),
            reason: "no server that is configured for it takes uploads".to_owned(),
        })
    }

    /// The first success among the servers that can do it. Where all fail, the last one's error counts: it is
    /// the registry's own.
    async fn first<T>(
        &self,
        able: impl Fn(&Endpoint) -> bool,
        ask: impl AsyncFn(&Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut mirrors: Vec<String> = Vec::new();
        let mut last = None;
        for (at, session) in self.sessions.iter().enumerate() {
            if !able(&session.endpoint) || self.failed.load(Ordering::Relaxed) & (1 << at) != 0 {
                continue;
            }
            match ask(session).await {
                Ok(found) => return Ok(found),
                Err(error) => {
                    if !error.is_not_found() {
                        self.mark_failed(at);
                    }
                    mirrors.extend(last.replace(error).map(|error| with_causes(&error)));
                }
            }
        }
        match last {
            Some(last) if mirrors.is_empty() => Err(last),
            Some(last) => Err(Error::AllFailed { mirrors: mirrors.join("; "), last: Box::new(last) }),
            None => Err(Error::Protocol {
                url: self.reference.name(),
                reason: "no server that is configured for it can be asked for this".to_owned(),
            }),
        }
    }
}

fn manifest_request(session: &Session, method: Method, name: &str) -> Request {
    Request::new(method, session.target(&format!("manifests/{name}")), session.scope("pull"))
        .header(header::ACCEPT, ACCEPT.join(", "))
}

fn content_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

/// The target of `Link: <…>; rel="next"` (RFC 8288).
fn next_page(headers: &HeaderMap) -> Option<String> {
    let link = headers.get(header::LINK)?.to_str().ok()?;
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    // A whole URL would lead to another server: pages are on this one.
    (parameters.contains("next") && target.starts_with('/')).then(|| target.to_owned())
}
