//! Devices by name: the Container Device Interface (cncf-tags/container-device-interface, SPEC.md 1.0).
//!
//! A vendor puts files into `/etc/cdi` or `/var/run/cdi` that say what a container needs for a device, as `nvidia.com/gpu=0`:
//! nodes, mounts, variables, hooks. A file in a later directory counts more than one in an earlier.

mod apply;
mod document;
mod registry;

use crate::config::DeviceRequest;

pub use apply::apply;
pub use document::{ContainerEdits, Document};
pub use registry::Registry;

/// The kind that `--gpus` means.
const GPU: &str = "nvidia.com/gpu";

/// Why a device can't be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CdiError {
    #[error("invalid CDI device name \"{}\": expected VENDOR/CLASS=NAME", .0.escape_debug())]
    Name(String),
    #[error("unresolvable CDI device {name}: no file in {directories} has it; those that are there: [{}]", known.join(", "))]
    Unknown { name: String, directories: String, known: Vec<String> },
    #[error("CDI device {0} is in two files: {1} and {2}")]
    Conflict(String, String, String),
    #[error("CDI file {path}: {problem}")]
    File { path: String, problem: String },
    #[error("CDI device node {path}: {problem}")]
    Node { path: String, problem: String },
    #[error("could not select device driver {driver:?} with capabilities: {capabilities}")]
    Driver { driver: String, capabilities: String },
}

/// Whether a value of `--device` names a device by CDI.
pub fn is_name(text: &str) -> bool {
    split(text).is_some()
}

/// `VENDOR/CLASS=NAME` as kind and name.
fn split(text: &str) -> Option<(&str, &str)> {
    let (kind, name) = text.split_once('=')?;
    let (vendor, class) = kind.split_once('/')?;
    let letters = |text: &str, more: &[u8]| {
        text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    (letters(vendor, b"-_.") && letters(class, b"-_") && letters(name, b"-_.:")).then_some((kind, name))
}

/// The names of the devices that requests ask for.
///
/// # Errors
/// A request for a driver that is none of ours.
pub fn names(requests: &[DeviceRequest]) -> Result<Vec<String>, CdiError> {
    let mut names = Vec::new();
    for request in requests {
        if request.driver == "cdi" {
            names.extend(request.device_ids.iter().cloned());
            continue;
        }
        let gpu = request.capabilities.iter().any(|all| all.iter().any(|one| one == "gpu"));
        if !(gpu && matches!(request.driver.as_str(), "" | "nvidia")) {
            let capabilities: Vec<String> =
                request.capabilities.iter().map(|all| format!("[{}]", all.join(" "))).collect();
            let capabilities = format!("[{}]", capabilities.join(" "));
            return Err(CdiError::Driver { driver: request.driver.clone(), capabilities });
        }
        if !request.device_ids.is_empty() {
            names.extend(request.device_ids.iter().map(|id| format!("{GPU}={id}")));
        } else if request.count < 0 {
            names.push(format!("{GPU}=all"));
        } else {
            names.extend((0..request.count.max(1)).map(|index| format!("{GPU}={index}")));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_three_parts() {
        assert_eq!(split("nvidia.com/gpu=GPU-1:0"), Some(("nvidia.com/gpu", "GPU-1:0")));
        for bad in
            ["/dev/null", "a/b", "a=b", "a/b=", "/b=c", "a//b=c", "a/b.c=d", "a/b=c d", "/dev/x:/dev/y=z"]
        {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn requests_become_names() {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let gpu = |count, ids: &[&str]| DeviceRequest {
            count,
            device_ids: words(ids),
            capabilities: vec![words(&["gpu"])],
            ..DeviceRequest::default()
        };
        assert_eq!(names(&[gpu(-1, &[])]).unwrap(), ["nvidia.com/gpu=all"]);
        assert_eq!(names(&[gpu(2, &[])]).unwrap(), ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]);
        assert_eq!(names(&[gpu(0, &["GPU-x"])]).unwrap(), ["nvidia.com/gpu=GPU-x"]);
        let cdi =
            DeviceRequest { driver: "cdi".into(), device_ids: words(&["a/b=c"]), ..DeviceRequest::default() };
        assert_eq!(names(&[cdi]).unwrap(), ["a/b=c"]);
        let error = names(&[DeviceRequest { driver: "amd".into(), ..gpu(1, &[]) }]).unwrap_err().to_string();
        assert_eq!(error, "could not select device driver \"amd\" with capabilities: [[gpu]]");
    }
}
