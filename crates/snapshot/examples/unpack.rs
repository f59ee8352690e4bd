//! Unpacks layers and says how long it took: `unpack ROOT LAYER…`, lowest first, compressed or not.

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

use oci::image::{Algorithm, Digest, Hasher};
use snapshot::{Driver, LayerSource, Snapshots};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (root, layers) = arguments.split_first().ok_or("usage: unpack ROOT LAYER…")?;
    let snapshots = Snapshots::open_with(Path::new(root), Driver::Overlay)?;
    let diff_ids = layers.iter().map(|layer| diff_id(layer)).collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    let sources = layers.iter().zip(diff_ids).map(|(layer, diff_id)| LayerSource {
        diff_id,
        open: Box::new(move || Ok(Box::new(File::open(layer)?) as Box<dyn Read + Send>)),
    });
    let mut out = std::io::stdout().lock();
    snapshots.unpack(sources.collect(), &snapshots.unpack_options(), &mut |diff_id| {
        let _ = writeln!(out, "{:>8.3} s  {diff_id}", start.elapsed().as_secs_f64());
    })?;
    Ok(())
}

/// The DiffID, worked out before the clock starts.
fn diff_id(layer: &str) -> Result<Digest, Box<dyn Error>> {
    let mut inflated = Vec::new();
    File::open(layer)?.read_to_end(&mut inflated)?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut stream: Box<dyn Read> = match inflated.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(&inflated[..])),
        [0x28, 0xb5, ..] => Box::new(zstd::stream::read::Decoder::new(&inflated[..])?),
        _ => Box::new(&inflated[..]),
    };
    let mut buffer = vec![0; 1 << 20];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}
