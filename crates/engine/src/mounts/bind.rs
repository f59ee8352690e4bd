//! `-v [SOURCE:]DESTINATION[:OPTIONS]`.

use crate::config::{BindOptions, MountConfig, VolumeOptions};
use crate::spec::clean;
use crate::volumes;

use super::MountError;

/// One `-v`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// What it says, in the words of `--mount`.
    pub mount: MountConfig,
    /// Its options, as they were given.
    pub mode: String,
}

/// What the options of one `-v` say.
#[derive(Default)]
struct Mode {
    read_only: Option<bool>,
    propagation: Option<String>,
    no_copy: bool,
    consistency: Option<String>,
    relabel: bool,
    id_map: Option<String>,
    non_recursive: Option<bool>,
}

/// Reads one `-v`. A source that starts with `/` is a path of the host, another one a volume's name; none, or an empty one,
/// makes an anonymous volume.
///
/// # Errors
/// What Docker refuses, with the reason.
pub fn parse_bind(spec: &str) -> Result<Bind, MountError> {
    let fail = |problem: String| MountError::Bind { spec: spec.to_owned(), problem };
    let parts: Vec<&str> = spec.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, mode] => (source, target, mode),
        _ => return Err(fail("expected [SOURCE:]DESTINATION[:OPTIONS]".into())),
    };
    if parts.len() == 2 && Mode::parse(target).is_ok() {
        return Err(fail("a volume without a source takes no options".into()));
    }
    if parts.len() == 3 && mode.is_empty() {
        return Err(fail("the options are empty".into()));
    }
    check_target(target).map_err(fail)?;
    let parsed = Mode::parse(mode).map_err(fail)?;
    let mut mount = MountConfig {
        target: clean(target),
        read_only: parsed.read_only.unwrap_or(false),
        consistency: parsed.consistency.unwrap_or_default(),
        ..MountConfig::default()
    };
    if source.starts_with('/') {
        if parsed.no_copy {
            return Err(fail("invalid mode: nocopy is for volumes, and the source is a path".into()));
        }
        mount.r#type = "bind".into();
        mount.source = clean(source);
        mount.bind_options = Some(BindOptions {
            propagation: parsed.propagation.unwrap_or_default(),
            create_mountpoint: true,
            non_recursive: parsed.non_recursive.unwrap_or(false),
            id_map: parsed.id_map.unwrap_or_default(),
            ..BindOptions::default()
        });
    } else {
        if !source.is_empty() {
            volumes::check_name(source).map_err(|error| fail(error.to_string()))?;
        }
        if parsed.propagation.is_some() || parsed.non_recursive.is_some() {
            return Err(fail(format!(
                "invalid mode: {mode}: propagation is for paths, and the source is a volume"
            )));
        }
        mount.r#type = "volume".into();
        mount.source = source.into();
        mount.volume_options =
            parsed.no_copy.then(|| VolumeOptions { no_copy: true, ..VolumeOptions::default() });
    }
    Ok(Bind { mount, mode: mode.into() })
}

/// A destination is absolute and not the root.
pub(super) fn check_target(target: &str) -> Result<(), String> {
    match target {
        "" => Err("the destination is missing".into()),
        _ if !target.starts_with('/') => {
            Err(format!("invalid mount path: '{target}' mount path must be absolute"))
        }
        _ if target.contains('\0') => Err("a NUL can't be part of a path".into()),
        _ if clean(target) == "/" => Err("destination can't be '/'".into()),
        _ => Ok(()),
    }
}

impl Mode {
    fn parse(text: &str) -> Result<Mode, String> {
        let mut mode = Mode::default();
        for option in text.split(',').filter(|_| !text.is_empty()) {
            let doubled = mode.add(option).ok_or_else(|| format!("invalid mode: {text}"))?;
            if doubled {
                return Err(format!("invalid mode: {text}: {option} and another option say the same thing"));
            }
        }
        Ok(mode)
    }

    /// Whether the option was there before in one form; none where it is no option.
    fn add(&mut self, option: &str) -> Option<bool> {
        Some(match option {
            "ro" | "rw" => self.read_only.replace(option == "ro").is_some(),
            "shared" | "rshared" | "slave" | "rslave" | "private" | "rprivate" => {
                self.propagation.replace(option.into()).is_some()
            }
            "cached" | "consistent" | "delegated" | "default" => {
                self.consistency.replace(option.into()).is_some()
            }
            "bind" | "rbind" => self.non_recursive.replace(option == "bind").is_some(),
            "nocopy" => std::mem::replace(&mut self.no_copy, true),
            "z" | "Z" => std::mem::replace(&mut self.relabel, true),
            _ if option == "idmap" || option.starts_with("idmap=") || option == "match-user" => {
                self.id_map.replace(option.into()).is_some()
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(spec: &str) -> String {
        parse_bind(spec).unwrap_err().to_string()
    }

    #[test]
    fn sources_are_paths_or_names() {
        let bind = parse_bind("/src/../host/:/c//d/:ro,rslave").unwrap();
        assert_eq!((bind.mount.source.as_str(), bind.mount.target.as_str()), ("/host", "/c/d"));
        assert_eq!((bind.mount.r#type.as_str(), bind.mode.as_str()), ("bind", "ro,rslave"));
        let options = bind.mount.bind_options.unwrap();
        assert!(bind.mount.read_only && options.create_mountpoint);
        assert_eq!(options.propagation, "rslave");

        let volume = parse_bind("data:/d:nocopy,Z").unwrap().mount;
        assert_eq!((volume.r#type.as_str(), volume.source.as_str()), ("volume", "data"));
        assert!(volume.volume_options.unwrap().no_copy && !volume.read_only);
        let anonymous = parse_bind("/d").unwrap().mount;
        assert_eq!((anonymous.r#type.as_str(), anonymous.source.as_str()), ("volume", ""));
        assert_eq!(parse_bind("/s:/d:match-user").unwrap().mount.bind_options.unwrap().id_map, "match-user");
    }

    #[test]
    fn what_docker_refuses_is_refused_with_the_reason() {
        for (spec, part) in [
            ("", "the destination is missing"),
            ("/a:/b:ro:x", "expected [SOURCE:]"),
            ("/a:/b:", "empty"),
            ("/a:ro", "takes no options"),
            ("/a:b", "must be absolute"),
            ("/a:/..", "destination can't be '/'"),
            ("/a:/b:ro,rw", "say the same thing"),
            ("/a:/b:fast", "invalid mode: fast"),
            ("/a:/b:ro,", "invalid mode"),
            ("vol:/b:rshared", "propagation is for paths"),
            ("/a:/b:nocopy", "nocopy is for volumes"),
            ("a b:/b", "includes invalid characters"),
            ("../x:/b", "absolute path"),
        ] {
            let error = error(spec);
            assert!(error.contains(part), "{spec}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer(spec in "[a-z/.:,]{0,30}") {
            if let Ok(bind) = parse_bind(&spec) {
                prop_assert!(bind.mount.target.starts_with('/') && bind.mount.target.len() > 1);
                prop_assert!(!bind.mount.target.split('/').any(|part| part == ".."));
                prop_assert!(bind.mount.source.is_empty() || bind.mount.r#type == "volume" || bind.mount.source.starts_with('/'));
            }
        }
    }
}
