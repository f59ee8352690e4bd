//! What cannot be done without: reading the compressed layers, inflating them, and hashing both forms.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use oci::image::{Algorithm, Compression, Hasher};

/// Inflates and hashes all blobs in `directory`, on all CPUs, and gives the time that took.
pub fn run(directory: &Path) -> io::Result<Duration> {
    let mut layers: Vec<(u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        layers.push((entry.metadata()?.len(), entry.path()));
    }
    // Taken from the end: the largest first.
    layers.sort();
    let queue = Mutex::new(layers);
    let start = Instant::now();
    let threads = std::thread::available_parallelism()?.get();
    std::thread::scope(|scope| -> io::Result<()> {
        let worker = || -> io::Result<()> {
            loop {
                let next = queue.lock().ok().and_then(|mut queue| queue.pop());
                let Some((_, path)) = next else { return Ok(()) };
                layer(&path)?;
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
        })
    })?;
    Ok(start.elapsed())
}

fn layer(path: &Path) -> io::Result<()> {
    let mut start = [0; 4];
    let length = File::open(path)?.read(&mut start)?;
    let compressed = Hashing { file: File::open(path)?, hasher: Hasher::new(Algorithm::Sha256) };
    let compressed = BufReader::with_capacity(64 << 10, compressed);
    let mut inflated: Box<dyn Read> = match Compression::detect(&start[..length]) {
        Compression::None => return Ok(()),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(compressed)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(compressed)?),
    };
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match inflated.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    std::hint::black_box(hasher.finish());
    Ok(())
}

struct Hashing {
    file: File,
    hasher: Hasher,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}
