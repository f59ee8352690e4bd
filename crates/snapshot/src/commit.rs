//! From what was written to a snapshot to a layer.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::fd::AsFd;

use oci::image::config::chain_ids;
use oci::image::{Algorithm, Digest, Hasher};

use crate::layer::{ApplyOptions, apply, diff_without};
use crate::layers::Record;
use crate::snapshots::{Kind, Snapshot};
use crate::{Driver, Layer, Result, SnapshotError, Snapshots, changes, tree};

impl Snapshot<'_> {
    /// Writes what was changed in the snapshot as an uncompressed layer and returns its DiffID. It should not
    /// be written to meanwhile: a file that changes its size is an error.
    pub fn diff(&self, out: impl Write) -> Result<Digest> {
        self.diff_without(&BTreeSet::new(), out)
    }

    /// The same, but for the paths `without`, relative to the root.
    pub fn diff_without(&self, without: &BTreeSet<Vec<u8>>, out: impl Write) -> Result<Digest> {
        if self.kind() == Kind::View {
            return Err(SnapshotError::View(self.key().into()));
        }
        let files = self.path().join("fs");
        let mut out = Hashing { out, hasher: Hasher::new(Algorithm::Sha256) };
        let written = match self.driver() {
            Driver::Overlay => tree::open_root(&files)
                .map_err(Into::into)
                .and_then(|root| diff_without(root.as_fd(), without, &mut out)),
            Driver::Copy => {
                let stage = self.snapshots.stage()?;
                let changed = stage.make_directory("fs", 0o755)?;
                let lower = self.snapshots.lower_directories(self.parent())?;
                changes::extract(&lower, &files, changed.as_fd(), self.snapshots.xattrs())?;
                diff_without(changed.as_fd(), without, &mut out)
            }
        };
        written.map_err(|error| SnapshotError::io("archive the changes in", files, error))?;
        Ok(out.hasher.finish())
    }
}

impl Snapshots {
    /// Makes a layer of what was changed in the snapshot `key`, which stays as it is. The layer's archive,
    /// uncompressed, goes to `out` too, on its way to a blob.
    pub fn commit(&self, key: &str, out: impl Write + Send) -> Result<Layer> {
        self.commit_without(key, &BTreeSet::new(), out)
    }

    /// The same, but for the paths `without`, relative to the root.
    pub fn commit_without(
        &self,
        key: &str,
        without: &BTreeSet<Vec<u8>>,
        out: impl Write + Send,
    ) -> Result<Layer> {
        let snapshot = self.snapshot(key)?;
        if snapshot.is_over_host() {
            return Err(SnapshotError::OverHost(key.into()));
        }
        let stage = self.stage()?;
        let root = stage.make_directory("fs", 0o755)?;
        let fail = |error| SnapshotError::io("commit", snapshot.path(), error);
        let (reader, writer) = io::pipe().map_err(fail)?;
        let options = ApplyOptions::for_this_process(self.xattrs());
        let (diff_id, applied) = std::thread::scope(|scope| {
            let archive = || snapshot.diff_without(without, Tee(out, writer));
            let archive = std::thread::Builder::new().spawn_scoped(scope, archive).map_err(fail)?;
            let applied = apply(io::BufReader::with_capacity(256 << 10, reader), root.as_fd(), &options);
            let died = || fail(io::Error::other("the archiving thread died"));
            Ok((archive.join().unwrap_or_else(|_| Err(died())), applied))
        })?;
        // What the archive could not be made for explains why it could not be applied.
        let diff_id = diff_id?;
        let applied =
            applied.map_err(|source| SnapshotError::Unpack { diff_id, source: Box::new(source) })?;
        let (ancestors, chain_id) = match snapshot.parent() {
            None => (Vec::new(), diff_id),
            Some(parent) => {
                let below = self.layer(parent)?.ancestors;
                let ancestors: Vec<_> = std::iter::once(*parent).chain(below).collect();
                (ancestors, chained(parent, &diff_id))
            }
        };
        let record = Record { diff_id, ancestors, bytes: applied.bytes };
        stage.write("layer.json", &record)?;
        self.commit_layer(&chain_id, &record, stage, &applied.implied)?;
        self.layer(&chain_id)
    }
}

/// The chain id of a layer on `parent`.
fn chained(parent: &Digest, diff_id: &Digest) -> Digest {
    chain_ids(&[*parent, *diff_id])[1]
}

/// Writes to both.
struct Tee<A, B>(A, B);

impl<A: Write, B: Write> Write for Tee<A, B> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        self.1.flush()
    }
}

struct Hashing<W> {
    out: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
