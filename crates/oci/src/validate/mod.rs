//! What no container can be made of, found before anything is touched.
//!
//! Here are the rules between fields and those of the kernel for text; whether a single value is a known one
//! (a namespace's type, a limit's name, a system call) is found where the value is translated.
//!
//! Every rule is linear in the size of the configuration and allocates only for its error.

mod linux;
mod mount;
mod process;
mod sysctl;

pub use sysctl::IPC as IPC_SYSCTLS;

use thiserror::Error;

use crate::spec::{Hook, Hooks, Spec};

/// A field that contradicts the specification, the kernel or another field.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{at}: {problem}")]
pub struct Invalid {
    /// JSON path of the field: `linux.namespaces[2].path`.
    pub at: String,
    /// What is wrong with it, and where it helps what would be right.
    pub problem: String,
}

/// What the rules must know that is not in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The runtime lacks privileges on the host.
    pub rootless: bool,
    /// `--no-pivot`: the root is not switched by pivot_root(2).
    pub no_pivot: bool,
    /// The network namespace that is to be joined by path is the one the runtime is in.
    pub joins_own_network: bool,
}

type Checked = Result<(), Invalid>;

fn invalid(at: impl Into<String>, problem: impl Into<String>) -> Invalid {
    Invalid { at: at.into(), problem: problem.into() }
}

/// Checks a configuration.
///
/// # Errors
/// The first field that breaks a rule.
pub fn validate(spec: &Spec, host: &Host) -> Checked {
    version(&spec.oci_version)?;
    let process = spec.process.as_ref();
    process::check(process.ok_or_else(|| invalid("process", "process property must not be empty"))?)?;
    let root = spec.root.as_ref().ok_or_else(|| invalid("root", "root property must not be empty"))?;
    if root.path.is_empty() {
        return Err(invalid("root.path", "must not be empty"));
    }
    no_nul(&root.path, || "root.path".into())?;
    name(&spec.hostname, "hostname")?;
    name(&spec.domainname, "domainname")?;
    let none = crate::spec::Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&none);
    linux::check(spec, linux, host)?;
    mount::check(&spec.mounts, host)?;
    spec.hooks.as_ref().map_or(Ok(()), hooks)
}

/// `__NEW_UTS_LEN`, linux/utsname.h.
const MAX_NAME: usize = 64;

fn name(value: &str, at: &str) -> Checked {
    if value.len() > MAX_NAME {
        return Err(invalid(at, format!("has {} bytes, the kernel takes {MAX_NAME}", value.len())));
    }
    no_nul(value, || at.into())
}

fn hooks(hooks: &Hooks) -> Checked {
    let kinds = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    for (kind, hooks) in kinds {
        for (i, one) in hooks.iter().enumerate() {
            hook(one, &|field| format!("hooks.{kind}[{i}].{field}"))?;
        }
    }
    Ok(())
}

/// A configuration for another major version could mean anything by what it says.
fn version(text: &str) -> Checked {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<Option<u32>> = core.split('.').map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [Some(1), Some(_), Some(_)] => Ok(()),
        _ => Err(invalid("ociVersion", format!("{} is no version 1.x.y of the specification", shown(text)))),
    }
}

fn hook(hook: &Hook, at: &dyn Fn(&str) -> String) -> Checked {
    absolute(&hook.path, || at("path"))?;
    if hook.timeout.is_some_and(|seconds| seconds <= 0) {
        return Err(invalid(at("timeout"), "must be greater than zero"));
    }
    for (i, text) in hook.args.iter().enumerate() {
        no_nul(text, || at(&format!("args[{i}]")))?;
    }
    for (i, text) in hook.env.iter().enumerate() {
        no_nul(text, || at(&format!("env[{i}]")))?;
    }
    Ok(())
}

/// The kernel's text ends at the first NUL: what stands behind it would silently be lost.
fn no_nul(text: &str, at: impl FnOnce() -> String) -> Checked {
    if text.contains('\0') { Err(invalid(at(), "contains a NUL byte")) } else { Ok(()) }
}

fn absolute(path: &str, at: impl FnOnce() -> String) -> Checked {
    if !path.starts_with('/') {
        return Err(invalid(at(), format!("{} must be an absolute path", shown(path))));
    }
    no_nul(path, at)
}

/// A value for a message, which must not grow with what it complains about.
fn shown(text: &str) -> String {
    const LIMIT: usize = 128;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A sound configuration, to be spoilt.
    pub(super) fn sound() -> Value {
        json!({
            "ociVersion": "1.3.0",
            "process": { "args": ["true"], "cwd": "/", "env": ["PATH=/bin"] },
            "root": { "path": "rootfs" },
            "hostname": "berth",
            "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
            "linux": { "namespaces": [{ "type": "mount" }, { "type": "uts" }] },
        })
    }

    pub(super) fn verdict_for(config: Value, host: &Host) -> Checked {
        validate(&serde_json::from_value(config).unwrap(), host)
    }

    /// Puts values at JSON pointers into the sound configuration; says where the error is, or "".
    #[track_caller]
    pub(super) fn spoilt(changes: &[(&str, Value)]) -> String {
        spoilt_on(&Host::default(), changes)
    }

    #[track_caller]
    pub(super) fn spoilt_on(host: &Host, changes: &[(&str, Value)]) -> String {
        let mut config = sound();
        for (pointer, value) in changes {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            match config.pointer_mut(parent).unwrap() {
                Value::Array(list) => list[key.parse::<usize>().unwrap()] = value.clone(),
                object => object[key] = value.clone(),
            }
        }
        verdict_for(config, host).err().map(|error| error.at).unwrap_or_default()
    }

    #[test]
    fn a_sound_configuration_passes() {
        assert_eq!(spoilt(&[]), "");
        assert_eq!(spoilt(&[("/hostname", json!("x".repeat(64)))]), "");
    }

    #[test]
    fn root_and_names() {
        assert_eq!(spoilt(&[("/process", Value::Null)]), "process");
        assert_eq!(spoilt(&[("/root", Value::Null)]), "root");
        assert_eq!(spoilt(&[("/root/path", json!(""))]), "root.path");
        assert_eq!(spoilt(&[("/root/path", json!("a\0b"))]), "root.path");
        assert_eq!(spoilt(&[("/hostname", json!("x".repeat(65)))]), "hostname");
        assert_eq!(spoilt(&[("/domainname", json!("a\0"))]), "domainname");
    }

    #[test]
    fn hooks_are_absolute_and_have_time() {
        let hook = |hook: Value| spoilt(&[("/hooks", json!({ "poststop": [{ "path": "/a" }, hook] }))]);
        assert_eq!(hook(json!({ "path": "/bin/true", "timeout": 1, "args": ["x"] })), "");
        assert_eq!(hook(json!({ "path": "true" })), "hooks.poststop[1].path");
        assert_eq!(hook(json!({ "path": "" })), "hooks.poststop[1].path");
        assert_eq!(hook(json!({ "path": "/a", "timeout": 0 })), "hooks.poststop[1].timeout");
        assert_eq!(hook(json!({ "path": "/a", "args": ["x", "\0"] })), "hooks.poststop[1].args[1]");
        assert_eq!(hook(json!({ "path": "/a", "env": ["\0"] })), "hooks.poststop[1].env[0]");
    }

    #[test]
    fn messages_stay_short() {
        let path = "x".repeat(1 << 20);
        let error = verdict_for(json!({ "process": { "args": ["a"], "cwd": path } }), &Host::default());
        assert!(error.unwrap_err().to_string().len() < 300);
    }

    #[test]
    fn hostile_sizes_are_no_burden() {
        let mount =
            json!({ "destination": "/m", "type": "tmpfs", "options": ["nosuid", "nodev", "size=1m"] });
        let many = vec![mount; 100_000];
        assert_eq!(spoilt(&[("/mounts", json!(many))]), "");
        let sysctls: serde_json::Map<_, _> =
            (0..100_000).map(|i| (format!("net.x.{i}"), json!("1"))).collect();
        let namespaces = json!([{ "type": "network" }, { "type": "uts" }, { "type": "mount" }]);
        let changes = [("/linux/sysctl", Value::Object(sysctls)), ("/linux/namespaces", namespaces)];
        assert_eq!(spoilt(&changes), "");
    }
}
