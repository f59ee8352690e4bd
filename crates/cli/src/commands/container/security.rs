//! `--security-opt`.

use std::fs;

use super::env::reason;
use crate::commands::flags::boolean;

/// What the options come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// What the engine is told: profiles stand in it as they are, not as paths.
    pub options: Vec<String>,
    /// Whether no path of /proc and /sys is hidden or read-only.
    pub system_paths_unconfined: bool,
}

/// Checks the options, and reads the files that they name.
pub fn resolve(options: &[String]) -> Result<Security, String> {
    let mut security = Security::default();
    for option in options {
        let wrong = || format!("invalid --security-opt: {option:?}");
        // A colon is how it was written before Docker 1.11.
        let (name, value) = match option.split_once('=').or_else(|| option.split_once(':')) {
            Some((name, value)) => (name, Some(value)),
            None => (option.as_str(), None),
        };
        match (name, value) {
            ("systempaths", Some("unconfined")) => security.system_paths_unconfined = true,
            ("no-new-privileges" | "writable-cgroups", None) => security.options.push(option.clone()),
            ("no-new-privileges" | "writable-cgroups", Some(value)) => {
                boolean(value).map_err(|reason| format!("{}: {reason}", wrong()))?;
                security.options.push(format!("{name}={value}"));
            }
            ("seccomp", Some("unconfined" | "builtin" | "nested")) => {
                security.options.push(format!("seccomp={}", value.unwrap_or_default()));
            }
            ("seccomp", Some(path)) => security.options.push(format!("seccomp={}", profile(path)?)),
            ("apparmor" | "label" | "mask" | "unmask", Some(value)) => {
                security.options.push(format!("{name}={value}"));
            }
            _ => return Err(wrong()),
        }
    }
    Ok(security)
}

/// A seccomp profile, without its white space.
fn profile(path: &str) -> Result<String, String> {
    let content = fs::read(path)
        .map_err(|error| format!("opening seccomp profile ({path}) failed: {}", reason(&error)))?;
    let profile: serde_json::Value = serde_json::from_slice(&content)
        .map_err(|error| format!("reading seccomp profile ({path}) failed: {error}"))?;
    Ok(profile.to_string())
}

/// What `--disable-content-trust` may say: trust is not checked that way.
pub fn no_content_trust(value: &str) -> Result<(), String> {
    match boolean(value)? {
        true => Ok(()),
        false => {
            Err("images are not checked by Notary: policy.json says whose signatures they need".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(options: &[&str]) -> Result<Security, String> {
        resolve(&options.iter().map(|&option| option.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn profiles_are_read_and_paths_unconfined() {
        let path = std::env::temp_dir().join(format!("berth-seccomp-{}", std::process::id()));
        fs::write(&path, "{ \"defaultAction\" :\n \"SCMP_ACT_ALLOW\" }").unwrap();
        let option = format!("seccomp={}", path.display());
        let security = resolved(&[&option, "systempaths=unconfined", "apparmor:x", "no-new-privileges:true"]);
        fs::remove_file(&path).unwrap();
        let wanted =
            ["seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}", "apparmor=x", "no-new-privileges=true"];
        assert_eq!(
            security.unwrap(),
            Security { options: wanted.map(str::to_owned).to_vec(), system_paths_unconfined: true }
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(resolved(&["apparmor"]).unwrap_err(), "invalid --security-opt: \"apparmor\"");
        assert_eq!(
            resolved(&["seccomp=/nope"]).unwrap_err(),
            "opening seccomp profile (/nope) failed: no such file or directory"
        );
        assert!(resolved(&["no-new-privileges=perhaps"]).is_err() && resolved(&["systempaths=x"]).is_err());
    }
}
