//! The images that are moved about: OCI layouts with layers of real files, and of many small ones.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use oci::image::{Algorithm, Digest, Hasher};
use serde_json::{Value, json};
use snapshot::tar::{Entry, Kind, Time, Writer};

/// Shares of the layers of an image, in percent: a base, and ever smaller steps on it.
const SHARES: [u64; 8] = [30, 20, 15, 10, 10, 5, 5, 5];

/// An OCI layout with one image, uncompressed.
pub struct Layout {
    /// Its directory.
    pub path: PathBuf,
    layers: Vec<Value>,
    diff_ids: Vec<String>,
}

impl Layout {
    /// An image of `bytes` of the host's own /usr, in eight layers.
    pub fn of_usr(path: &Path, bytes: u64) -> io::Result<Layout> {
        let mut layout = Layout::new(path)?;
        let mut files = Vec::new();
        for top in ["bin", "sbin", "lib", "share", "include", "libexec"] {
            walk(&Path::new("/usr").join(top), &mut files)?;
        }
        let mut files = files.into_iter();
        for share in SHARES {
            let wanted = bytes * share / 100;
            layout.layer(|archive| {
                let mut written = 0;
                while written < wanted {
                    // What is left of /usr is smaller than was asked for: the image is, too.
                    let Some((file, size)) = files.next() else { return Ok(()) };
                    // One large file must not make the layer a multiple of what it should be.
                    if size > wanted - written + wanted / 10 {
                        continue;
                    }
                    let mut content = File::open(&file)?.take(size);
                    let name = file.strip_prefix("/").unwrap_or(&file);
                    archive.entry(&entry(name.as_os_str().as_encoded_bytes(), size))?;
                    let mut buffer = vec![0; 256 << 10];
                    loop {
                        match content.read(&mut buffer)? {
                            0 => break,
                            read => archive.content(&buffer[..read])?,
                        }
                    }
                    written += size;
                }
                Ok(())
            })?;
        }
        layout.finish()
    }

    /// An image of `count` files of up to 8 KiB, in `layers` layers.
    pub fn of_small_files(path: &Path, count: u64, layers: u64) -> io::Result<Layout> {
        let mut layout = Layout::new(path)?;
        for layer in 0..layers {
            layout.layer(|archive| {
                for file in (layer * count / layers)..((layer + 1) * count / layers) {
                    let name = format!("srv/{:03}/{:02}/file{file}", file % 251, file % 17);
                    let size = 256 + file.wrapping_mul(2_654_435_761) % 7936;
                    let content = format!("line {file} of a file of text that compresses as text does\n");
                    let content: Vec<u8> = content.bytes().cycle().take(size as usize).collect();
                    archive.entry(&entry(name.as_bytes(), size))?;
                    archive.content(&content)?;
                }
                Ok(())
            })?;
        }
        layout.finish()
    }

    fn new(path: &Path) -> io::Result<Layout> {
        fs::create_dir_all(path.join("blobs/sha256"))?;
        Ok(Layout { path: path.to_owned(), layers: Vec::new(), diff_ids: Vec::new() })
    }

    fn layer(&mut self, fill: impl FnOnce(&mut Writer<Hashing>) -> io::Result<()>) -> io::Result<()> {
        let stage = self.path.join("layer");
        let file = BufWriter::with_capacity(1 << 20, File::create(&stage)?);
        let mut archive = Writer::new(Hashing { file, hasher: Hasher::new(Algorithm::Sha256), size: 0 });
        fill(&mut archive)?;
        let Hashing { file, hasher, size } = archive.finish()?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let digest = hasher.finish();
        fs::rename(&stage, self.blob(&digest))?;
        self.layers.push(described("application/vnd.oci.image.layer.v1.tar", &digest, size));
        self.diff_ids.push(digest.to_string());
        Ok(())
    }

    fn finish(self) -> io::Result<Layout> {
        let config = json!({
            "architecture": oci::image::Platform::host().architecture,
            "os": "linux",
            "config": { "Cmd": ["/usr/bin/true"] },
            "rootfs": { "type": "layers", "diff_ids": self.diff_ids },
        });
        let config = self.document("application/vnd.oci.image.config.v1+json", &config)?;
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": self.layers });
        let mut manifest = self.document(kind, &manifest)?;
        manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "1" });
        fs::write(self.path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        fs::write(
            self.path.join("index.json"),
            json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string(),
        )?;
        Ok(self)
    }

    fn document(&self, kind: &str, value: &Value) -> io::Result<Value> {
        let text = value.to_string();
        let digest = Digest::sha256(text.as_bytes());
        fs::write(self.blob(&digest), &text)?;
        Ok(described(kind, &digest, text.len() as u64))
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.path.join("blobs/sha256").join(digest.hex())
    }

    /// The bytes of its layers.
    pub fn bytes(&self) -> u64 {
        self.layers.iter().filter_map(|layer| layer["size"].as_u64()).sum()
    }
}

/// An archive, as `docker save` made them, of `count` images that differ in nothing but a label.
pub fn many_images(path: &Path, count: usize) -> io::Result<()> {
    let mut layer = Writer::new(Vec::new());
    layer.entry(&entry(b"etc/motd", 3))?;
    layer.content(b"hi\n")?;
    let layer = layer.finish()?;
    let mut archive = Writer::new(BufWriter::new(File::create(path)?));
    let mut add = |name: &str, content: &[u8]| {
        archive.entry(&entry(name.as_bytes(), content.len() as u64))?;
        archive.content(content)
    };
    add("layer.tar", &layer)?;
    let mut manifest = Vec::new();
    for at in 0..count {
        let config = json!({
            "architecture": oci::image::Platform::host().architecture,
            "os": "linux",
            "created": format!("2026-01-01T00:{:02}:{:02}Z", at / 60 % 60, at % 60),
            "config": { "Labels": { "number": at.to_string() } },
            "rootfs": { "type": "layers", "diff_ids": [Digest::sha256(&layer).to_string()] },
        });
        let name = format!("{at}.json");
        add(&name, config.to_string().as_bytes())?;
        manifest.push(json!({
            "Config": name, "RepoTags": [format!("bench/app{at}:1")], "Layers": ["layer.tar"]
        }));
    }
    add("manifest.json", json!(manifest).to_string().as_bytes())?;
    archive.finish()?.flush()
}

fn described(kind: &str, digest: &Digest, size: u64) -> Value {
    json!({ "mediaType": kind, "digest": digest.to_string(), "size": size })
}

/// The regular files below a directory, sorted, with their sizes.
fn walk(directory: &Path, files: &mut Vec<(PathBuf, u64)>) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            walk(&path, files)?;
        } else if metadata.is_file() {
            files.push((path, metadata.size()));
        }
    }
    Ok(())
}

/// A file in an archive.
pub fn entry(path: &[u8], size: u64) -> Entry {
    Entry {
        path: path.to_vec(),
        link: Vec::new(),
        kind: Kind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: Time { seconds: 1_700_000_000, nanoseconds: 0 },
        atime: None,
        device: (0, 0),
        size,
        xattrs: Vec::new(),
        sparse: None,
    }
}

/// A file that is hashed as it is written.
struct Hashing {
    file: BufWriter<File>,
    hasher: Hasher,
    size: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
