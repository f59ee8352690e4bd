//! Options of the local driver: `type`, `device`, `o` as of mount(8), and `size`.

use std::path::PathBuf;

use crate::config::StringMap;

use super::{Result, VolumeError};

/// What a container mounts of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A directory of the host.
    Directory(PathBuf),
    /// A file system of its own, which is mounted in each container anew and nowhere else.
    FileSystem {
        /// Its type.
        kind: String,
        /// Its device, address or name.
        device: String,
        /// Options.
        options: Vec<String>,
    },
}

fn wrong(option: &str, problem: impl Into<String>) -> VolumeError {
    VolumeError::Option { option: option.to_owned(), problem: problem.into() }
}

/// Checks a driver's name and options.
///
/// # Errors
/// Another driver, an unknown option, or one without those that it needs.
pub fn check(driver: &str, options: &StringMap) -> Result<()> {
    if !matches!(driver, "" | "local") {
        return Err(VolumeError::Driver(driver.to_owned()));
    }
    let known = ["type", "device", "o", "size"];
    if let Some(option) = options.keys().find(|option| !known.contains(&option.as_str())) {
        return Err(wrong(option, "known are type, device, o and size"));
    }
    let given = |name: &str| options.get(name).is_some_and(|value| !value.is_empty());
    let mounts = ["type", "device", "o"].into_iter().any(given);
    for needed in ["device", "type"].into_iter().filter(|_| mounts) {
        if !given(needed) {
            return Err(wrong(needed, "it is missing, and type, device and o go together"));
        }
    }
    if let Some(size) = size(options)?
        && mounts
    {
        return Err(wrong(
            "size",
            format!("{size} bytes can't be enforced on another file system: use its own options"),
        ));
    }
    if binds(options) && !options["device"].starts_with('/') {
        return Err(wrong("device", "a bind needs an absolute path"));
    }
    Ok(())
}

/// Whether `o` has `bind` or `rbind`.
fn binds(options: &StringMap) -> bool {
    words(options).any(|word| matches!(word, "bind" | "rbind"))
}

fn words(options: &StringMap) -> impl Iterator<Item = &str> {
    options.get("o").map_or("", String::as_str).split(',').filter(|word| !word.is_empty())
}

/// The bytes of `size`, in Docker's units.
pub(super) fn size(options: &StringMap) -> Result<Option<u64>> {
    let Some(text) = options.get("size") else { return Ok(None) };
    let bytes = crate::check::bytes(text).filter(|bytes| *bytes > 0);
    bytes.map(Some).ok_or_else(|| {
        wrong("size", format!("\"{}\" is no size: use a number with b, k, m, g or t", text.escape_debug()))
    })
}

/// What a volume with these options is; `data` is its own directory.
pub(super) fn content(options: &StringMap, data: impl FnOnce() -> PathBuf) -> Content {
    let Some(device) = options.get("device").filter(|device| !device.is_empty()) else {
        return Content::Directory(data());
    };
    if binds(options) {
        return Content::Directory(device.into());
    }
    let kind = options.get("type").cloned().unwrap_or_default();
    let mut words: Vec<String> = words(options).map(str::to_owned).collect();
    // The kernel takes no names: mount.nfs(8) would resolve the server and tell its address.
    if kind.starts_with("nfs")
        && !words.iter().any(|word| word.starts_with("addr="))
        && let Some((server, _)) = device.split_once(':')
    {
        words.push(format!("addr={server}"));
    }
    Content::FileSystem { kind, device: device.clone(), options: words }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> StringMap {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn options_say_what_is_mounted() {
        let content = |pairs: &[(&str, &str)]| {
            check("local", &options(pairs)).unwrap();
            content(&options(pairs), || "/data".into())
        };
        assert_eq!(content(&[]), Content::Directory("/data".into()));
        let bind = content(&[("type", "none"), ("device", "/srv"), ("o", "bind")]);
        assert_eq!(bind, Content::Directory("/srv".into()));
        let tmpfs = content(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,uid=7")]);
        let words = vec!["size=1m".to_owned(), "uid=7".to_owned()];
        assert_eq!(
            tmpfs,
            Content::FileSystem { kind: "tmpfs".into(), device: "tmpfs".into(), options: words }
        );
        let Content::FileSystem { options, .. } = content(&[("type", "nfs"), ("device", "10.0.0.1:/x")])
        else {
            panic!()
        };
        assert_eq!(options, ["addr=10.0.0.1"]);
    }

    #[test]
    fn wrong_options_are_named() {
        for (driver, pairs, part) in [
            ("nfs", &[][..], "only \"local\""),
            ("", &[("typ", "x")], "\"typ\""),
            ("", &[("type", "tmpfs")], "\"device\""),
            ("", &[("device", "x")], "\"type\""),
            ("", &[("type", "none"), ("device", "x"), ("o", "bind")], "absolute"),
            ("", &[("size", "much")], "\"much\""),
            ("", &[("size", "1g"), ("type", "tmpfs"), ("device", "tmpfs")], "can't be enforced"),
        ] {
            let error = check(driver, &options(pairs)).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
