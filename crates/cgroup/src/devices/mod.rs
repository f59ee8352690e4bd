//! Which devices a group may use: the specification's ordered list of rules, reduced to a default and its
//! exceptions. v1 is told line by line, v2 by a BPF program.
//!
//! The reduction follows v1's kernel semantics on both versions, with runc's one deviation: to take away a
//! part of a wider exception is an error, because v1 would ignore it without a word.

mod filter;

use std::collections::BTreeMap;
use std::fmt;

use oci::spec::Device;
use oci::spec::resources::DeviceRule;

use rustix::fs::OFlags;

pub(crate) use filter::{attach, replace};

use crate::Error;
use crate::dir::Dir;

/// Read, write and mknod as bits; the values are those of BPF_DEVCG_ACC_*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Access(u8);

impl Access {
    const MKNOD: Self = Self(1);
    const READ: Self = Self(2);
    const WRITE: Self = Self(4);
    const ALL: Self = Self(7);

    fn parse(text: &str) -> Option<Self> {
        text.chars().try_fold(Self::default(), |access, letter| {
            let bit = match letter {
                'r' => Self::READ,
                'w' => Self::WRITE,
                'm' => Self::MKNOD,
                // Some write it for all; with runc it has no effect.
                'a' => Self::default(),
                _ => return None,
            };
            Some(Self(access.0 | bit.0))
        })
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(Self::READ, "r"), (Self::WRITE, "w"), (Self::MKNOD, "m")];
        letters.iter().filter(|(bit, _)| self.overlaps(*bit)).try_for_each(|(_, letter)| f.write_str(letter))
    }
}

/// Block or character device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Block,
    Character,
}

impl Kind {
    const fn letter(self) -> char {
        match self {
            Self::Block => 'b',
            Self::Character => 'c',
        }
    }
}

/// The devices that an exception is about; `None` is every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Devices {
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub kind: Kind,
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        write!(f, "{} {}:{}", self.kind.letter(), number(self.major), number(self.minor))
    }
}

/// What a list of rules comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// What happens to a device without an exception. Groups start by denying.
    pub default_allow: bool,
    /// Accesses for which the opposite holds.
    pub exceptions: BTreeMap<Devices, Access>,
}

impl Policy {
    /// The outcome of `rules`, applied in order.
    pub fn new(rules: &[DeviceRule]) -> Result<Self, Error> {
        let mut policy = Self::default();
        for (index, rule) in rules.iter().enumerate() {
            policy
                .add(rule)
                .map_err(|reason| Error::InvalidLimit { field: format!("devices[{index}]"), reason })?;
        }
        Ok(policy)
    }

    fn add(&mut self, rule: &DeviceRule) -> Result<(), String> {
        if rule.access.is_empty() {
            return Err("device access cannot be empty: use any of r, w and m".to_owned());
        }
        let access = Access::parse(&rule.access)
            .ok_or_else(|| format!("invalid device access {:?}: use any of r, w and m", rule.access))?;
        let kind = match rule.kind.as_str() {
            // Every device: the numbers mean nothing, all rules before it neither.
            "" | "a" => {
                *self = Self { default_allow: rule.allow, exceptions: BTreeMap::new() };
                return Ok(());
            }
            "b" => Kind::Block,
            "c" => Kind::Character,
            other => return Err(format!("invalid cgroup device type {other:?}: use a, b or c")),
        };
        let devices = Devices { kind, major: number(rule.major)?, minor: number(rule.minor)? };
        if rule.allow == self.default_allow {
            self.take_away(devices, access)
        } else {
            let entry = self.exceptions.entry(devices).or_default();
            *entry = Access(entry.0 | access.0);
            Ok(())
        }
    }

    fn take_away(&mut self, devices: Devices, access: Access) -> Result<(), String> {
        let wider = [
            Devices { major: None, ..devices },
            Devices { minor: None, ..devices },
            Devices { major: None, minor: None, ..devices },
        ];
        for wider in wider.into_iter().filter(|wider| *wider != devices) {
            if let Some(held) = self.exceptions.get(&wider).filter(|held| held.overlaps(access)) {
                return Err(format!(
                    "rule {devices} {access} cannot punch a hole in the wider rule {wider} {held}"
                ));
            }
        }
        if let Some(held) = self.exceptions.get_mut(&devices) {
            *held = held.without(access);
            if *held == Access::default() {
                self.exceptions.remove(&devices);
            }
        }
        Ok(())
    }

    /// What v1's `devices.list` tells. A group that allows by default lists no exceptions: none then.
    fn listed(text: &str) -> Option<Self> {
        let number = |text: &str| if text == "*" { Some(None) } else { text.parse().ok().map(Some) };
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            let kind = match words.next()? {
                "b" => Kind::Block,
                "c" => Kind::Character,
                _ => return None,
            };
            let (major, minor) = words.next()?.split_once(':')?;
            let devices = Devices { kind, major: number(major)?, minor: number(minor)? };
            Some((devices, Access::parse(words.next()?)?))
        };
        let exceptions = text.lines().map(line).collect::<Option<_>>()?;
        Some(Self { default_allow: false, exceptions })
    }

    /// The lines of what this allows and `other` does not, where both deny by default.
    fn beyond(&self, other: &Self) -> Vec<String> {
        let more = self.exceptions.iter().map(|(devices, access)| {
            (devices, access.without(other.exceptions.get(devices).copied().unwrap_or_default()))
        });
        more.filter(|(_, access)| *access != Access::default())
            .map(|(devices, access)| format!("{devices} {access}"))
            .collect()
    }

    /// For v1: the file that sets the default, the file of the exceptions, and their lines.
    fn lines(&self) -> (&'static str, &'static str, impl Iterator<Item = String>) {
        let (default, exceptions) = if self.default_allow {
            ("devices.allow", "devices.deny")
        } else {
            ("devices.deny", "devices.allow")
        };
        let line = |(devices, access): (&Devices, &Access)| format!("{devices} {access}");
        (default, exceptions, self.exceptions.iter().map(line))
    }
}

/// Tells v1's `dir` the policy.
pub(crate) fn write(policy: &Policy, dir: &Dir) -> Result<(), Error> {
    let (default, exceptions, lines) = policy.lines();
    dir.write(default, "a")?;
    let file = dir.file(exceptions, OFlags::WRONLY)?;
    // The kernel takes one rule a write.
    lines.into_iter().try_for_each(|line| dir.write_to(&file, exceptions, &line))
}

/// The same for a group that has processes: what they may use before and after, they may use all the time. Only from
/// allowing by default to denying there is no way but to deny everything first.
pub(crate) fn rewrite(policy: &Policy, dir: &Dir) -> Result<(), Error> {
    let before = if policy.default_allow { None } else { Policy::listed(&dir.read("devices.list")?) };
    let Some(before) = before else { return write(policy, dir) };
    policy.beyond(&before).iter().try_for_each(|line| dir.write("devices.allow", line))?;
    before.beyond(policy).iter().try_for_each(|line| dir.write("devices.deny", line))
}

fn number(number: Option<i64>) -> Result<Option<u32>, String> {
    match number {
        None | Some(-1) => Ok(None),
        Some(n) => u32::try_from(n).map(Some).map_err(|_| format!("device number {n} is out of range")),
    }
}

/// Rules that every container gets after its own, as runc adds them: mknod of anything, the standard
/// devices, terminals, and /dev/net/tun. A device of `linux.devices` at the path of a standard one replaces
/// it, and with it the rule.
pub fn with_defaults(rules: &[DeviceRule], devices: &[Device]) -> Vec<DeviceRule> {
    let character = |major, minor, access: &str| DeviceRule {
        allow: true,
        kind: "c".to_owned(),
        major,
        minor,
        access: access.to_owned(),
    };
    const STANDARD: [(&str, i64, i64); 6] = [
        ("/dev/null", 1, 3),
        ("/dev/random", 1, 8),
        ("/dev/full", 1, 7),
        ("/dev/tty", 5, 0),
        ("/dev/zero", 1, 5),
        ("/dev/urandom", 1, 9),
    ];
    let replaced = |path: &str| devices.iter().any(|device| device.path == path);
    let standard = STANDARD.iter().filter(|(path, ..)| !replaced(path));
    rules
        .iter()
        .cloned()
        .chain([
            character(None, None, "m"),
            DeviceRule { kind: "b".to_owned(), ..character(None, None, "m") },
        ])
        .chain(standard.map(|(_, major, minor)| character(Some(*major), Some(*minor), "rwm")))
        .chain([
            character(Some(136), None, "rwm"),
            character(Some(5), Some(2), "rwm"),
            character(Some(10), Some(200), "rwm"),
        ])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(json: &str) -> Result<Policy, String> {
        Policy::new(&serde_json::from_str::<Vec<DeviceRule>>(json).unwrap()).map_err(|e| e.to_string())
    }

    fn lines(json: &str) -> Vec<String> {
        let policy = policy(json).unwrap();
        let (default, exceptions, lines) = policy.lines();
        [format!("{default}=a")].into_iter().chain(lines.map(|line| format!("{exceptions}={line}"))).collect()
    }

    #[test]
    fn rules_come_to_a_default_and_sorted_exceptions() {
        let json = r#"[{"allow":false,"access":"rwm"},
            {"allow":true,"type":"c","major":5,"minor":1,"access":"rw"},
            {"allow":true,"type":"b","major":8,"access":"r"},
            {"allow":true,"type":"c","major":5,"minor":1,"access":"m"},
            {"allow":false,"type":"b","major":8,"access":"r"}]"#;
        assert_eq!(lines(json), ["devices.deny=a", "devices.allow=c 5:1 rwm"]);
        assert_eq!(lines("[]"), ["devices.deny=a"]);
    }

    #[test]
    fn a_rule_for_all_devices_starts_over() {
        let json = r#"[{"allow":true,"type":"c","major":5,"access":"r"},{"allow":true,"type":"a","access":"rwm"},
            {"allow":false,"type":"c","major":1,"minor":-1,"access":"w"}]"#;
        assert_eq!(lines(json), ["devices.allow=a", "devices.deny=c 1:* w"]);
        assert_eq!(lines(r#"[{"allow":true,"access":"rwm"}]"#), ["devices.allow=a"]);
    }

    #[test]
    fn holes_in_wider_rules_are_refused() {
        let json = r#"[{"allow":true,"type":"c","major":5,"access":"rw"},
            {"allow":false,"type":"c","major":5,"minor":1,"access":"w"}]"#;
        let error = policy(json).unwrap_err();
        assert!(error.contains("linux.resources.devices[1]") && error.contains("punch a hole"), "{error}");
    }

    #[test]
    fn an_update_allows_what_is_new_and_denies_what_is_gone() {
        let before = Policy::listed("c 1:3 rwm\nb *:* m\nc 5:* r\n").unwrap();
        let after = policy(
            r#"[{"allow":true,"type":"c","major":1,"minor":3,"access":"r"},
            {"allow":true,"type":"b","access":"m"},{"allow":true,"type":"c","major":5,"access":"rw"}]"#,
        )
        .unwrap();
        assert_eq!(after.beyond(&before), ["c 5:* w"]);
        assert_eq!(before.beyond(&after), ["c 1:3 wm"]);
        assert_eq!(Policy::listed("a *:* rwm\n"), None);
    }

    #[test]
    fn malformed_rules_name_their_index() {
        for bad in [
            r#"[{"allow":true,"type":"c"}]"#,
            r#"[{"allow":true,"type":"x","access":"r"}]"#,
            r#"[{"allow":true,"type":"c","access":"rwx"}]"#,
            r#"[{"allow":true,"type":"c","major":-2,"access":"r"}]"#,
            r#"[{"allow":true,"type":"c","minor":4294967296,"access":"r"}]"#,
        ] {
            assert!(policy(bad).unwrap_err().contains("devices[0]"), "{bad}");
        }
    }

    #[test]
    fn a_device_of_the_bundle_replaces_the_standard_one() {
        let own = Device { path: "/dev/tty".to_owned(), ..Device::default() };
        let has_tty = |rules: &[DeviceRule]| rules.iter().any(|r| (r.major, r.minor) == (Some(5), Some(0)));
        assert!(has_tty(&with_defaults(&[], &[])));
        assert!(!has_tty(&with_defaults(&[], &[own])));
        assert_eq!(with_defaults(&[], &[]).len(), 11);
    }
}
