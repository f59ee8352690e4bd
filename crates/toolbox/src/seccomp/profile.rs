//! Profiles from files.

use std::io;
use std::path::{Path, PathBuf};

use capability::{CapSet, Capability};
use oci::spec::seccomp::Seccomp;
use seccomp::{Architecture, CompileError, Filter, docker_profile};

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ProfileError {
    #[error("read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no seccomp profile: {source}", path.display())]
    Format { path: PathBuf, source: serde_json::Error },
    #[error("{} is no seccomp profile: {source}", path.display())]
    Profile { path: PathBuf, source: docker_profile::ProfileError },
    #[error("{} has no linux.seccomp: the container would run without a filter", .0.display())]
    NoProfile(PathBuf),
    #[error("compile the profile: {0}")]
    Compile(#[from] CompileError),
    #[error("this machine's architecture has no seccomp profile format")]
    Architecture,
}

/// The architecture of this machine.
pub fn native() -> Result<Architecture, ProfileError> {
    Architecture::native().ok_or(ProfileError::Architecture)
}

/// Major and minor number of this kernel, which conditions of profiles may ask for.
fn kernel() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Reads a profile: `linux.seccomp` of a config.json, or that object alone, or one in Docker's form, whose conditions are
/// judged for a container with these capabilities here; the word `default` is the built-in
/// profile for a container with these capabilities.
pub fn read(name: &Path, capabilities: CapSet) -> Result<Seccomp, ProfileError> {
    if name == Path::new("default") {
        let has =
            |name: &str| name.parse::<Capability>().is_ok_and(|capability| capabilities.contains(capability));
        return Ok(seccomp::default_profile(native()?, has));
    }
    let text = std::fs::read(name).map_err(|source| ProfileError::Read { path: name.to_owned(), source })?;
    let format = |source| ProfileError::Format { path: name.to_owned(), source };
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(format)?;
    let profile = match value.get("ociVersion") {
        None => value,
        Some(_) => value
            .pointer("/linux/seccomp")
            .filter(|profile| !profile.is_null())
            .cloned()
            .ok_or_else(|| ProfileError::NoProfile(name.to_owned()))?,
    };
    // OCI's form is one of Docker's, without conditions.
    let has =
        |name: &str| name.parse::<Capability>().is_ok_and(|capability| capabilities.contains(capability));
    let wrong = |source| ProfileError::Profile { path: name.to_owned(), source };
    let profile = docker_profile::parse(profile.to_string().as_bytes()).map_err(wrong)?;
    profile.resolve(native()?, kernel(), has).map_err(wrong)
}

/// Reads and compiles a profile.
pub fn compile(name: &Path, capabilities: CapSet) -> Result<Filter, ProfileError> {
    Ok(seccomp::compile(&read(name, capabilities)?, native()?)?)
}
