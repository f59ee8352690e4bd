//! The parts that archives of images have in common, on their way in and out.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};

use oci::image::Compression;
use serde::{Deserialize, Serialize};
use snapshot::tar::{Entry, Kind, Time, Writer};

/// `manifest.json` of a docker-archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DockerManifest {
    /// The path of the configuration in the archive.
    pub config: String,
    /// The names of the image.
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
    /// The paths of the layers, lowest first.
    pub layers: Vec<String>,
}

/// The files of an OCI layout.
pub(crate) const LAYOUT_FILE: &str = "oci-layout";
pub(crate) const LAYOUT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";
pub(crate) const INDEX_FILE: &str = "index.json";
/// The index of a docker-archive.
pub(crate) const DOCKER_MANIFEST_FILE: &str = "manifest.json";
/// containerd's annotation with the full name of an image.
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The image specification's annotation with a name, which for most tools is a tag alone.
pub(crate) const STANDARD_NAME: &str = "org.opencontainers.image.ref.name";

/// Undoes the compression of an archive, whatever it is.
pub fn decompress<'a>(input: impl Read + Send + 'a) -> io::Result<Box<dyn BufRead + Send + 'a>> {
    let mut input = BufReader::with_capacity(256 << 10, input);
    let compression = Compression::detect(input.fill_buf()?);
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => {
            Box::new(BufReader::with_capacity(256 << 10, flate2::bufread::MultiGzDecoder::new(input)))
        }
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            Box::new(BufReader::with_capacity(256 << 10, decoder))
        }
    })
}

/// What an archive is compressed with on its way out.
pub(crate) enum Compressor<W: Write> {
    None(W),
    Gzip(flate2::write::GzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Compressor<W> {
    pub(crate) fn new(output: W, compression: Compression) -> io::Result<Compressor<W>> {
        Ok(match compression {
            Compression::None => Compressor::None(output),
            Compression::Gzip => {
                Compressor::Gzip(flate2::write::GzEncoder::new(output, flate2::Compression::default()))
            }
            Compression::Zstd => Compressor::Zstd(zstd::stream::write::Encoder::new(output, 3)?),
        })
    }

    /// Writes what is held back and returns the stream below.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Compressor::None(output) => Ok(output),
            Compressor::Gzip(encoder) => encoder.finish(),
            Compressor::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Compressor::None(output) => output.write(bytes),
            Compressor::Gzip(encoder) => encoder.write(bytes),
            Compressor::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Compressor::None(output) => output.flush(),
            Compressor::Gzip(encoder) => encoder.flush(),
            Compressor::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// Writes the files of an archive, each with the same owner and time, so that equal images give equal archives.
pub(crate) struct ArchiveWriter<W: Write> {
    tar: Writer<W>,
    directories: BTreeMap<String, ()>,
}

impl<W: Write> ArchiveWriter<W> {
    pub(crate) fn new(output: W) -> ArchiveWriter<W> {
        ArchiveWriter { tar: Writer::new(output), directories: BTreeMap::new() }
    }

    pub(crate) fn bytes(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.file(path, content.len() as u64, content)
    }

    pub(crate) fn file(&mut self, path: &str, size: u64, mut content: impl Read) -> io::Result<()> {
        self.parents(path)?;
        self.tar.entry(&entry(path, Kind::File, size))?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match content.read(&mut buffer)? {
                0 => return Ok(()),
                read => self.tar.content(&buffer[..read])?,
            }
        }
    }

    fn parents(&mut self, path: &str) -> io::Result<()> {
        for (at, _) in path.match_indices('/') {
            let directory = &path[..at];
            if self.directories.insert(directory.to_owned(), ()).is_none() {
                self.tar.entry(&entry(&format!("{directory}/"), Kind::Directory, 0))?;
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> io::Result<W> {
        self.tar.finish()
    }
}

fn entry(path: &str, kind: Kind, size: u64) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        link: Vec::new(),
        kind,
        mode: if kind == Kind::Directory { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        atime: None,
        device: (0, 0),
        size,
        xattrs: Vec::new(),
        sparse: None,
    }
}
