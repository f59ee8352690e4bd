//! Reading `config.json`, which may come from anybody.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use oci::spec::Spec;

use crate::failure::{Failure, OrFail, Result};

/// The largest configuration that is read, in bytes: a hundred thousand mounts fit.
const LIMIT: u64 = 16 << 20;

/// Reads a configuration: parsed, and as it was written.
///
/// # Errors
/// Where it can't be read, is larger than 16 MiB, or is no configuration: then with line and column.
pub fn read(path: &Path) -> Result<(Spec, Vec<u8>)> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::because(
                "read",
                "",
                format!("JSON specification file {} not found", path.display()),
            ));
        }
        other => other.or_fail_at("open", path)?,
    };
    let mut text = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut text).or_fail_at("read", path)?;
    if text.len() as u64 > LIMIT {
        return Err(Failure::because("read", path.display(), "it is larger than 16 MiB"));
    }
    let spec =
        serde_json::from_slice(&text).map_err(|error| Failure::because("parse", path.display(), error))?;
    Ok((spec, text))
}
