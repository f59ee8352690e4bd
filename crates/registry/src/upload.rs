//! Blobs on their way up: mounted from another repository, in one piece, or in chunks that can be resumed.

use std::fs::File;
use std::sync::Arc;

use hyper::{Method, StatusCode, Uri, header};
use oci::image::Digest;
use tokio::time::sleep;

use crate::body::{Meter, Payload};
use crate::session::{Answer, Request, Session, shown};
use crate::{Error, url};

/// The size of a chunk: what a broken connection costs at most.
const CHUNK: u64 = 64 << 20;

/// What to upload.
pub struct Upload {
    /// The name of the blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its content, from offset 0.
    pub file: Arc<File>,
    /// A repository of the same registry that has the blob already.
    pub mount_from: Option<String>,
    /// Is told how many more bytes went out.
    pub meter: Meter,
}

/// How a blob came to be in the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// It was there.
    Existed,
    /// The registry took it from another repository.
    Mounted,
    /// It was sent.
    Sent,
}

impl Session {
    /// Tells whether the repository has the blob.
    pub(crate) async fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let target = self.target(&format!("blobs/{digest}"));
        match self.send(&Request::new(Method::HEAD, target, self.scope("pull,push"))).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Brings a blob into the repository, once more from the start where resuming fails.
    pub(crate) async fn upload(&self, upload: &Upload) -> Result<Uploaded, Error> {
        if self.has_blob(&upload.digest).await? {
            return Ok(Uploaded::Existed);
        }
        let mut attempt = 1;
        loop {
            let error = match self.upload_once(upload).await {
                Ok(uploaded) => return Ok(uploaded),
                Err(error) => error,
            };
            let Some(pause) = self.patience().pause_after(attempt, &error) else { return Err(error) };
            sleep(pause).await;
            attempt += 1;
        }
    }

    async fn upload_once(&self, upload: &Upload) -> Result<Uploaded, Error> {
        let mut target = self.target("blobs/uploads/");
        let mut scopes = self.scope("pull,push");
        if let Some(from) = &upload.mount_from {
            target = url::with_query(&target, "mount", &upload.digest.to_string());
            target = url::with_query(&target, "from", from);
            scopes.push(format!("repository:{from}:pull"));
        }
        let answer = match self.send(&Request::new(Method::POST, target, scopes)).await {
            // Who may not read the other repository can still send the blob.
            Err(error) if upload.mount_from.is_some() && error.is_denied() => {
                let plain = self.target("blobs/uploads/");
                self.send(&Request::new(Method::POST, plain, self.scope("pull,push"))).await?
            }
            answer => answer?,
        };
        if answer.response.status() == StatusCode::CREATED {
            return Ok(Uploaded::Mounted);
        }
        let mut location = next_location(&answer)?;
        let mut sent = 0;
        if upload.size > CHUNK {
            (location, sent) = self.send_chunks(upload, location).await?;
        }
        self.finish(upload, &location, sent).await?;
        Ok(Uploaded::Sent)
    }

    /// Sends all but the last chunk; tells where to go on, and from which offset.
    async fn send_chunks(&self, upload: &Upload, mut location: Uri) -> Result<(Uri, u64), Error> {
        let mut sent = 0;
        let mut failures = 0;
        while upload.size - sent > CHUNK {
            let mut request = Request::new(Method::PATCH, location.to_string(), self.scope("pull,push"));
            request = request
                .header(header::CONTENT_TYPE, "application/octet-stream")
                .header(header::CONTENT_RANGE, format!("{sent}-{}", sent + CHUNK - 1));
            request.payload = upload.part(sent, CHUNK);
            match self.send_once(&request).await {
                Ok(answer) => {
                    failures = 0;
                    sent += CHUNK;
                    location = next_location(&answer)?;
                }
                Err(error) => {
                    failures += 1;
                    let Some(pause) = self.patience().pause_after(failures, &error) else {
                        return Err(error);
                    };
                    sleep(pause).await;
                    (location, sent) = self.progress(&location).await?;
                }
            }
        }
        Ok((location, sent))
    }

    /// Asks how much of an upload has arrived (distribution-spec, "Pushing a blob in chunks").
    async fn progress(&self, location: &Uri) -> Result<(Uri, u64), Error> {
        let request = Request::new(Method::GET, location.to_string(), self.scope("pull,push"));
        let answer = self.send(&request).await?;
        let range = answer.response.headers().get(header::RANGE).and_then(|value| value.to_str().ok());
        // "0-0" stands for nothing as well as for one byte; sending that byte again is refused, so start over.
        let last = range.and_then(|range| range.rsplit('-').next()?.parse::<u64>().ok());
        let arrived = last.filter(|last| *last > 0).map_or(0, |last| last + 1);
        Ok((next_location(&answer)?, arrived))
    }

    async fn finish(&self, upload: &Upload, location: &Uri, sent: u64) -> Result<(), Error> {
        let target = url::with_query(&location.to_string(), "digest", &upload.digest.to_string());
        let mut request = Request::new(Method::PUT, target, self.scope("pull,push"))
            .header(header::CONTENT_TYPE, "application/octet-stream");
        let left = upload.size - sent;
        if sent > 0 && left > 0 {
            request = request.header(header::CONTENT_RANGE, format!("{sent}-{}", upload.size - 1));
        }
        request.payload = upload.part(sent, left);
        self.send_once(&request).await.map(drop)
    }
}

impl Upload {
    fn part(&self, offset: u64, len: u64) -> Payload {
        Payload::File { file: self.file.clone(), offset, len, meter: self.meter.clone() }
    }
}

fn next_location(answer: &Answer) -> Result<Uri, Error> {
    let location = answer.response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let joined = location.and_then(|location| url::join(&answer.url, location));
    joined.ok_or_else(|| Error::Protocol {
        url: shown(&answer.url),
        reason: "does not say where the upload goes on (Location)".to_owned(),
    })
}
