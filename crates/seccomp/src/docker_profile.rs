//! Profiles in the form that Docker and podman read from files: OCI's, with conditions on architecture, capabilities and
//! kernel. OCI's own form is one of these too.

use oci::spec::seccomp::{Seccomp, SeccompAction, SeccompArg, SeccompRule};
use serde::{Deserialize, Deserializer};

use crate::architecture::Architecture;

/// A profile with its conditions.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DockerProfile {
    default_action: SeccompAction,
    default_errno_ret: Option<u32>,
    default_errno: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    arch_map: Vec<ArchitectureGroup>,
    #[serde(default, deserialize_with = "nullable")]
    architectures: Vec<String>,
    flags: Option<Vec<String>>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    syscalls: Vec<ConditionalRule>,
}

/// An architecture with those that its kernel runs beside it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchitectureGroup {
    architecture: String,
    #[serde(default, deserialize_with = "nullable")]
    sub_architectures: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConditionalRule {
    /// An older form of `names`.
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    names: Vec<String>,
    action: SeccompAction,
    errno_ret: Option<u32>,
    errno: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    args: Vec<SeccompArg>,
    #[serde(default, deserialize_with = "nullable")]
    includes: Conditions,
    #[serde(default, deserialize_with = "nullable")]
    excludes: Conditions,
}

/// When a rule counts (`includes`: all must hold) or does not (`excludes`: none may).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Conditions {
    #[serde(deserialize_with = "nullable")]
    arches: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    caps: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    min_kernel: String,
}

/// Why a file is no profile.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ProfileError {
    #[error("{0}")]
    Format(#[from] serde_json::Error),
    #[error("\"architectures\" and \"archMap\" are both given: use either of them")]
    Architectures,
    #[error("syscalls[{0}]: \"name\" and \"names\" are both given: use either of them")]
    Names(usize),
    #[error("{at}: \"{}\" is no kernel version: expected MAJOR.MINOR", text.escape_debug())]
    Kernel { at: String, text: String },
    #[error("{at}: unknown error name \"{}\": give its number as errnoRet", text.escape_debug())]
    Errno { at: String, text: String },
}

/// Reads a profile.
///
/// # Errors
/// It is not in one of the two forms.
pub fn parse(text: &[u8]) -> Result<DockerProfile, ProfileError> {
    let profile: DockerProfile = serde_json::from_slice(text)?;
    if !profile.arch_map.is_empty() && !profile.architectures.is_empty() {
        return Err(ProfileError::Architectures);
    }
    match profile.syscalls.iter().position(|rule| !rule.name.is_empty() && !rule.names.is_empty()) {
        Some(rule) => Err(ProfileError::Names(rule)),
        None => Ok(profile),
    }
}

/// Where a rule is to count.
struct Place<'a, Has> {
    arch: &'a str,
    kernel: (u32, u32),
    has_capability: Has,
}

impl DockerProfile {
    /// The profile for a container on an architecture and kernel, with the capabilities that `has_capability` knows.
    ///
    /// # Errors
    /// A condition that can't be read.
    pub fn resolve(
        self,
        host: Architecture,
        kernel: (u32, u32),
        has_capability: impl Fn(&str) -> bool,
    ) -> Result<Seccomp, ProfileError> {
        let place = Place { arch: go_name(host), kernel, has_capability };
        let mut syscalls = Vec::new();
        for (at, rule) in self.syscalls.into_iter().enumerate() {
            if rule.counts(at, &place)? {
                syscalls.push(rule.plain(at)?);
            }
        }
        let mut architectures = self.architectures;
        if let Some(group) = self.arch_map.into_iter().find(|group| group.architecture == host.name()) {
            architectures = vec![group.architecture];
            architectures.extend(group.sub_architectures);
        }
        Ok(Seccomp {
            default_action: self.default_action,
            default_errno_ret: errno(self.default_errno_ret, self.default_errno, "defaultErrno")?,
            architectures,
            flags: self.flags,
            listener_path: self.listener_path,
            listener_metadata: self.listener_metadata,
            syscalls,
        })
    }
}

impl ConditionalRule {
    fn counts<Has: Fn(&str) -> bool>(&self, at: usize, place: &Place<'_, Has>) -> Result<bool, ProfileError> {
        let is_new = |text: &str, field: &str| -> Result<Option<bool>, ProfileError> {
            let wrong = || ProfileError::Kernel {
                at: format!("syscalls[{at}].{field}.minKernel"),
                text: text.to_owned(),
            };
            match text {
                "" => Ok(None),
                _ => Ok(Some(place.kernel >= version(text).ok_or_else(wrong)?)),
            }
        };
        let Conditions { arches, caps, min_kernel } = &self.excludes;
        if arches.iter().any(|arch| arch == place.arch)
            || caps.iter().any(|name| (place.has_capability)(name))
            || is_new(min_kernel, "excludes")? == Some(true)
        {
            return Ok(false);
        }
        let Conditions { arches, caps, min_kernel } = &self.includes;
        Ok((arches.is_empty() || arches.iter().any(|arch| arch == place.arch))
            && caps.iter().all(|name| (place.has_capability)(name))
            && is_new(min_kernel, "includes")? != Some(false))
    }

    fn plain(self, at: usize) -> Result<SeccompRule, ProfileError> {
        let names = if self.name.is_empty() { self.names } else { vec![self.name] };
        let errno_ret = errno(self.errno_ret, self.errno, &format!("syscalls[{at}].errno"))?;
        Ok(SeccompRule { names, action: self.action, errno_ret, args: self.args })
    }
}

/// The number counts where both are given; podman writes the name beside it.
fn errno(number: Option<u32>, name: Option<String>, at: &str) -> Result<Option<u32>, ProfileError> {
    let (None, Some(name)) = (number, name) else { return Ok(number) };
    let number = match name.as_str() {
        "" => return Ok(None),
        "EPERM" => libc::EPERM,
        "EACCES" => libc::EACCES,
        "EINVAL" => libc::EINVAL,
        "ENOSYS" => libc::ENOSYS,
        "EOPNOTSUPP" | "ENOTSUP" => libc::EOPNOTSUPP,
        _ => return Err(ProfileError::Errno { at: at.to_owned(), text: name }),
    };
    Ok(Some(number.unsigned_abs()))
}

/// `4.8` → (4, 8).
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// What Go calls an architecture, which `includes` and `excludes` name.
fn go_name(architecture: Architecture) -> &'static str {
    use Architecture::{
        Aarch64, Arm, Loongarch64, Mips, Mips64, Mips64N32, MipsEl, MipsEl64, MipsEl64N32, Ppc, Ppc64,
        Ppc64Le, Riscv64, S390, S390X, X32, X86, X86_64,
    };
    match architecture {
        X86 => "386",
        X86_64 => "amd64",
        X32 => "amd64p32",
        Arm => "arm",
        Aarch64 => "arm64",
        Loongarch64 => "loong64",
        Mips => "mips",
        Mips64 => "mips64",
        Mips64N32 => "mips64p32",
        MipsEl => "mipsle",
        MipsEl64 => "mips64le",
        MipsEl64N32 => "mips64p32le",
        Ppc => "ppc",
        Ppc64 => "ppc64",
        Ppc64Le => "ppc64le",
        Riscv64 => "riscv64",
        S390 => "s390",
        S390X => "s390x",
        _ => "",
    }
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "defaultErrno": "ENOSYS",
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": null}],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": null, "comment": "", "includes": {}, "excludes": {}},
            {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["both"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}},
            {"name": "clone", "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}],
             "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390", "s390x"]}},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errno": "ENOSYS", "excludes": {"caps": ["CAP_SYS_ADMIN"]}}
        ]}"#;

    fn names(host: Architecture, kernel: (u32, u32), caps: &[&str]) -> Vec<String> {
        let profile = parse(PROFILE.as_bytes()).unwrap();
        let profile = profile.resolve(host, kernel, |name| caps.contains(&name)).unwrap();
        profile.syscalls.into_iter().flat_map(|rule| rule.names).collect()
    }

    #[test]
    fn rules_count_where_their_conditions_hold() {
        let new = (6, 1);
        assert_eq!(
            names(Architecture::X86_64, new, &[]),
            ["read", "arch_prctl", "ptrace", "clone", "clone3"]
        );
        assert_eq!(names(Architecture::X86_64, (4, 7), &[]), ["read", "arch_prctl", "clone", "clone3"]);
        assert_eq!(names(Architecture::S390X, new, &[]), ["read", "ptrace", "clone3"]);
        let admin = names(Architecture::Aarch64, new, &["CAP_SYS_ADMIN"]);
        assert_eq!(admin, ["read", "ptrace", "mount"]);
        let both = names(Architecture::Aarch64, new, &["CAP_SYS_ADMIN", "CAP_BPF"]);
        assert_eq!(both, ["read", "ptrace", "mount", "both"]);
    }

    #[test]
    fn architectures_and_errnos_are_those_of_the_host() {
        let resolve = |host| parse(PROFILE.as_bytes()).unwrap().resolve(host, (6, 1), |_| false).unwrap();
        let profile = resolve(Architecture::X86_64);
        assert_eq!(profile.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
        assert_eq!(profile.default_errno_ret, Some(38));
        assert_eq!(profile.syscalls.last().unwrap().errno_ret, Some(38));
        assert!(resolve(Architecture::Riscv64).architectures.is_empty());
        crate::compile(&profile, Architecture::X86_64).unwrap();
    }

    #[test]
    fn contradictions_are_named() {
        let error = |text: &str| match parse(text.as_bytes()) {
            Err(error) => error.to_string(),
            Ok(profile) => profile.resolve(Architecture::X86_64, (6, 1), |_| false).unwrap_err().to_string(),
        };
        let both = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],
            "archMap":[{"architecture":"SCMP_ARCH_X86"}]}"#;
        assert!(error(both).contains("use either of them"), "{}", error(both));
        for (rule, part) in [
            (r#""name":"a","names":["b"]"#, "syscalls[0]: \"name\" and \"names\""),
            (r#""name":"a","includes":{"minKernel":"six"}"#, "syscalls[0].includes.minKernel"),
            (r#""name":"a","errno":"EWHAT""#, "syscalls[0].errno"),
        ] {
            let text = format!(
                r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"action":"SCMP_ACT_ERRNO",{rule}}}]}}"#
            );
            assert!(error(&text).contains(part), "{}", error(&text));
        }
        assert!(error("[]").contains("expected struct"), "{}", error("[]"));
    }
}
