//! `berth save`

use std::fs::File;
use std::io::{BufWriter, IsTerminal, stdout};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use image::{ArchiveFormat, Image, SaveOptions};
use oci::Reference;
use oci::image::Compression;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::commands::Outcome;
use crate::commands::context::Context;

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// What `docker load` reads; an OCI layout as well
    DockerArchive,
    /// An OCI layout in a tar archive
    OciArchive,
    /// An OCI layout in a directory, which -o names
    OciDir,
}

#[derive(Clone, Copy, ValueEnum)]
enum Compressor {
    Gzip,
    Zstd,
}

#[derive(Args)]
pub struct Save {
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The form of the archive
    #[arg(long, value_enum, default_value = "docker-archive")]
    format: Format,
    /// Compress the whole archive
    #[arg(long, value_enum, value_name = "HOW")]
    compress: Option<Compressor>,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Save {
    pub fn run(self, context: &Context) -> Outcome {
        let store = context.images()?;
        let mut chosen: Vec<(Image, Vec<Reference>)> = Vec::new();
        for name in &self.images {
            let candidates = context.local_candidates(name)?;
            let image = store.find(name, &candidates)?;
            let named = candidates.into_iter().find(|name| image.names.contains(&name.to_string()));
            match chosen.iter_mut().find(|(known, _)| known.target.digest == image.target.digest) {
                Some((_, names)) => names.extend(named),
                None => chosen.push((image, named.into_iter().collect())),
            }
        }
        let options = SaveOptions {
            format: match self.format {
                Format::DockerArchive => ArchiveFormat::Docker,
                Format::OciArchive | Format::OciDir => ArchiveFormat::Oci,
            },
            compression: match self.compress {
                None => Compression::None,
                Some(Compressor::Gzip) => Compression::Gzip,
                Some(Compressor::Zstd) => Compression::Zstd,
            },
        };
        match (self.format, &self.output) {
            (Format::OciDir, Some(path)) => store.save_directory(&chosen, path)?,
            (Format::OciDir, None) => return Err("a directory is saved to where -o says".into()),
            (_, Some(path)) => save_to_file(&store, &chosen, options, path)?,
            (_, None) if stdout().is_terminal() => {
                return Err("an archive is no text for a terminal: use -o, or redirect".into());
            }
            (_, None) => store.save(&chosen, options, BufWriter::with_capacity(1 << 20, stdout().lock()))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The file has its name only when it is whole.
fn save_to_file(
    store: &image::Images,
    chosen: &[(Image, Vec<Reference>)],
    options: SaveOptions,
    path: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    // What is no regular file, such as /dev/null or a pipe, can't be replaced.
    if path.exists() && !path.is_file() {
        let file = File::options().write(true).open(path).map_err(failed)?;
        return Ok(store.save(chosen, options, BufWriter::with_capacity(1 << 20, file))?);
    }
    let name = path.file_name().ok_or_else(|| format!("{} is no file's name", path.display()))?;
    // Always the same, so that what a command left that was killed between two system calls is replaced by the next.
    let stage = path.with_file_name(format!(".{}.berth", name.to_string_lossy()));
    let file = nameless(path).or_else(|_| File::create(&stage)).map_err(failed)?;
    let saved = (|| {
        store.save(chosen, options, BufWriter::with_capacity(1 << 20, &file))?;
        Ok(give_name(&file, &stage, path).map_err(failed)?)
    })();
    if saved.is_err() {
        let _ = std::fs::remove_file(&stage);
    }
    saved
}

/// A file that vanishes with the process, as long as it has no name; not every file system has such.
fn nameless(path: &Path) -> std::io::Result<File> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o666);
    Ok(rustix::fs::open(directory.unwrap_or(Path::new(".")), flags, mode)?.into())
}

/// Puts `file`, which has no name or that of `stage`, in the place of `path`.
fn give_name(file: &File, stage: &Path, path: &Path) -> std::io::Result<()> {
    if file.metadata()?.nlink() == 0 {
        let link = |to: &Path| {
            let from = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, from, CWD, to, AtFlags::SYMLINK_FOLLOW)
        };
        match link(path) {
            Err(Errno::EXIST) => {}
            linked => return Ok(linked?),
        }
        // What is there can only be replaced by a file that has a name.
        drop(std::fs::remove_file(stage));
        link(stage)?;
    }
    std::fs::rename(stage, path)
}
