//! `--security-opt`: what a container is confined by.

use oci::spec::seccomp::Seccomp;
use seccomp::docker_profile;

use super::{Host, SpecError};
use crate::config::HostConfig;

/// What the options say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Security {
    /// `no-new-privileges`.
    pub no_new_privileges: bool,
    /// Which system calls.
    pub seccomp: Filter,
    /// `apparmor=PROFILE`; `None` is the host's default.
    pub apparmor: Option<String>,
    /// `label=…`, without `disable`.
    pub labels: Vec<String>,
    /// `label=disable`.
    pub label_disabled: bool,
    /// The SELinux context of the process.
    pub process_label: Option<String>,
    /// `systempaths=unconfined`.
    pub open_system_paths: bool,
    /// `writable-cgroups`.
    pub writable_cgroups: bool,
}

/// Which system calls a container may make.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Filter {
    /// Those of the built-in profile.
    #[default]
    Default,
    /// Those of the built-in profile for a container with containers of its own.
    Nested,
    /// All.
    Unconfined,
    /// Those of this profile, in Docker's JSON.
    Profile(String),
}

impl Security {
    /// Reads the options of a configuration.
    ///
    /// # Errors
    /// An option that is none, or two that contradict each other.
    pub fn parse(config: &HostConfig) -> Result<Security, SpecError> {
        let mut security = Security::default();
        for option in &config.security_opt {
            security
                .add(option)
                .map_err(|problem| SpecError::SecurityOpt { option: shown(option), problem })?;
        }
        Ok(security)
    }

    /// The same, completed by what depends on the host.
    ///
    /// # Errors
    /// Also a profile that this host can't apply.
    pub fn on(config: &HostConfig, host: &Host) -> Result<Security, SpecError> {
        let mut security = Security::parse(config)?;
        security.settle(config, host)?;
        Ok(security)
    }

    fn add(&mut self, option: &str) -> Result<(), &'static str> {
        let boolean = |value: &str| match value {
            "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(true),
            "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(false),
            _ => Err("use true or false"),
        };
        match option {
            "no-new-privileges" => {
                self.no_new_privileges = true;
                return Ok(());
            }
            "writable-cgroups" => {
                self.writable_cgroups = true;
                return Ok(());
            }
            _ => {}
        }
        // `key:value` is an older form.
        let Some((key, value)) = option.split_once('=').or_else(|| option.split_once(':')) else {
            return Err("expected KEY=VALUE, no-new-privileges or writable-cgroups");
        };
        match key {
            "seccomp" => {
                self.seccomp = match value {
                    "unconfined" => Filter::Unconfined,
                    "builtin" | "default" => Filter::Default,
                    "nested" => Filter::Nested,
                    _ => Filter::Profile(value.to_owned()),
                }
            }
            "apparmor" => self.apparmor = Some(value.to_owned()),
            "label" if value == "disable" => self.label_disabled = true,
            "label" => self.add_label(value)?,
            "no-new-privileges" => self.no_new_privileges = boolean(value)?,
            "writable-cgroups" => self.writable_cgroups = boolean(value)?,
            "systempaths" if value == "unconfined" => self.open_system_paths = true,
            "systempaths" => return Err("the only value is unconfined"),
            _ => {
                return Err(
                    "the options are apparmor, label, no-new-privileges, seccomp, systempaths, writable-cgroups",
                );
            }
        }
        Ok(())
    }

    fn add_label(&mut self, value: &str) -> Result<(), &'static str> {
        let part = value.split_once(':').map(|(part, _)| part);
        if !matches!(part, Some("user" | "role" | "type" | "level" | "filetype")) && value != "nested" {
            return Err(
                "a label is disable, nested, user:USER, role:ROLE, type:TYPE, level:LEVEL or filetype:TYPE",
            );
        }
        self.labels.push(value.to_owned());
        Ok(())
    }

    /// The AppArmor profile, and labels.
    fn settle(&mut self, config: &HostConfig, host: &Host) -> Result<(), SpecError> {
        if self.apparmor.as_deref().is_some_and(|profile| !matches!(profile, "" | "unconfined"))
            && host.apparmor.is_none()
        {
            return Err(SpecError::NoAppArmor(self.apparmor.clone().unwrap_or_default()));
        }
        if !self.labels.is_empty() && !host.selinux {
            // As in Docker: labels say nothing where no kernel reads them.
            self.labels.clear();
        }
        let profile = match (&host.apparmor, self.apparmor.take()) {
            (None, _) => None,
            (Some(_), Some(asked)) if !asked.is_empty() => Some(asked),
            // What runs containers mounts.
            (Some(_), _) if config.privileged || self.seccomp == Filter::Nested => Some("unconfined".into()),
            (Some(default), _) => Some(default.clone()),
        };
        // The word is not a profile's name for the kernel: a container without a profile is unconfined.
        self.apparmor = profile.filter(|profile| profile != "unconfined");
        Ok(())
    }

    /// The filter of system calls.
    pub(super) fn filter(
        &self,
        config: &HostConfig,
        host: &Host,
        caps: capability::CapSet,
    ) -> Result<Option<Seccomp>, SpecError> {
        let Some(architecture) = host.architecture else { return Ok(None) };
        let has = |name: &str| name.parse().is_ok_and(|capability| caps.contains(capability));
        match &self.seccomp {
            Filter::Unconfined => Ok(None),
            Filter::Default if config.privileged => Ok(None),
            Filter::Default => Ok(Some(seccomp::default_profile(architecture, has))),
            Filter::Nested => Ok(Some(seccomp::nested_profile(architecture, has))),
            Filter::Profile(text) => {
                let profile = docker_profile::parse(text.as_bytes()).map_err(SpecError::SeccompProfile)?;
                let profile = profile.resolve(architecture, host.kernel, has);
                profile.map(Some).map_err(SpecError::SeccompProfile)
            }
        }
    }
}

/// An option as messages show it: a profile may be long.
fn shown(option: &str) -> String {
    let short: String = option.chars().take(64).collect();
    if short.len() < option.len() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Result<Security, SpecError> {
        let security_opt = options.iter().map(ToString::to_string).collect();
        Security::parse(&HostConfig { security_opt, ..HostConfig::default() })
    }

    #[test]
    fn options_are_read_in_both_forms() {
        let security =
            parse(&["no-new-privileges", "seccomp=unconfined", "apparmor:mine", "label=type:x"]).unwrap();
        assert!(security.no_new_privileges);
        assert_eq!(security.seccomp, Filter::Unconfined);
        assert_eq!(security.apparmor.as_deref(), Some("mine"));
        assert_eq!(security.labels, ["type:x"]);
        assert!(!parse(&["no-new-privileges=false"]).unwrap().no_new_privileges);
        assert!(parse(&["systempaths=unconfined"]).unwrap().open_system_paths);
    }

    #[test]
    fn what_is_no_option_is_named() {
        for (option, part) in [
            ("fly", "expected KEY=VALUE"),
            ("no-new-privileges=maybe", "true or false"),
            ("systempaths=all", "unconfined"),
            ("label=x", "a label is"),
            ("mac=1", "the options are"),
        ] {
            let error = parse(&[option]).unwrap_err().to_string();
            assert!(error.contains(option) && error.contains(part), "{error}");
        }
    }
}
