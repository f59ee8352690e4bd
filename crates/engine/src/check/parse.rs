//! Values that flags and the API write as text.

use oci::spec::resources::DeviceRule;

use crate::config::{DeviceMapping, Ulimit};

use super::Invalid;

/// A number of bytes with Docker's units: `512`, `64m`, `1.5g`, `2GiB`; binary in every form.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let at = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..at], text[at..].trim_start());
    let shift = match unit {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return None,
    };
    let factor = 1_u64 << shift;
    if !number.contains('.') {
        return number.parse::<u64>().ok()?.checked_mul(factor);
    }
    let value = number.parse::<f64>().ok()? * factor as f64;
    (value < 9.2e18).then_some(value as u64)
}

/// `HOST[:CONTAINER[:rwm]]` of `--device`.
///
/// # Errors
/// It has another form.
pub fn device(text: &str) -> Result<DeviceMapping, Invalid> {
    let fail =
        |problem: &str| Invalid(format!("invalid device specification {text:?}: {problem} (--device)"));
    let parts: Vec<&str> = text.split(':').collect();
    let is_mode = |mode: &str| {
        (1..=3).contains(&mode.len())
            && mode.bytes().all(|byte| b"rwm".contains(&byte))
            && "rwm".chars().all(|letter| mode.matches(letter).count() <= 1)
    };
    let (host, container, mode) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, mode] if is_mode(mode) => (host, host, mode),
        [host, container] => (host, container, "rwm"),
        [host, container, mode] => (host, container, mode),
        _ => return Err(fail("expected HOST[:CONTAINER[:rwm]]")),
    };
    let container = if container.is_empty() { host } else { container };
    let mode = if mode.is_empty() { "rwm" } else { mode };
    if !is_mode(mode) {
        return Err(fail(&format!("invalid device mode: {mode}")));
    }
    for path in [host, container] {
        if !path.starts_with('/') {
            return Err(fail(&format!("{path} is not an absolute path")));
        }
    }
    Ok(DeviceMapping {
        path_on_host: host.into(),
        path_in_container: container.into(),
        cgroup_permissions: mode.into(),
    })
}

/// `TYPE MAJOR:MINOR ACCESS` of `--device-cgroup-rule`.
///
/// # Errors
/// It has another form.
pub fn device_rule(text: &str) -> Result<DeviceRule, Invalid> {
    let parsed = || {
        let mut words = text.split(' ');
        let (kind, numbers, access) = (words.next()?, words.next()?, words.next()?);
        let (major, minor) = numbers.split_once(':')?;
        let number = |text: &str| match text {
            "*" => Some(-1),
            _ => text.parse::<u32>().ok().map(i64::from),
        };
        let sound = matches!(kind, "a" | "b" | "c")
            && (1..=3).contains(&access.len())
            && access.bytes().all(|byte| b"rwm".contains(&byte))
            && words.next().is_none();
        sound.then_some(DeviceRule {
            allow: true,
            kind: kind.into(),
            major: Some(number(major)?),
            minor: Some(number(minor)?),
            access: access.into(),
        })
    };
    parsed().ok_or_else(|| {
        Invalid(format!(
            "invalid device cgroup format '{text}': expected a form as 'c 10:200 rwm' (--device-cgroup-rule)"
        ))
    })
}

/// The limits that `--ulimit` names.
pub const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `NAME=SOFT[:HARD]` of `--ulimit`; -1 is no limit.
///
/// # Errors
/// An unknown name, or a soft limit above the hard one.
pub fn ulimit(text: &str) -> Result<Ulimit, Invalid> {
    let fail = |problem: String| Invalid(format!("invalid ulimit argument: {text}: {problem} (--ulimit)"));
    let (name, value) = text.split_once('=').ok_or_else(|| fail("expected NAME=SOFT[:HARD]".into()))?;
    if !ULIMITS.contains(&name) && name != "as" {
        return Err(fail(format!("invalid ulimit type: {name}")));
    }
    let (soft, hard) = value.split_once(':').unwrap_or((value, value));
    let number = |text: &str| match text {
        "unlimited" => Some(-1),
        _ => text.parse::<i64>().ok().filter(|value| *value >= -1),
    };
    let (Some(soft), Some(hard)) = (number(soft), number(hard)) else {
        return Err(fail("limits are numbers, or -1 for none".into()));
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(fail(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )));
    }
    Ok(Ulimit { name: name.into(), soft, hard })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_have_dockers_units() {
        for (text, value) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("64m", Some(64 << 20)),
            ("1.5G", Some(3 << 29)),
            ("2GiB", Some(2 << 30)),
            ("1 kb", Some(1024)),
            ("1x", None),
            ("", None),
            ("-1", None),
            ("99999999999t", None),
            ("1..5g", None),
        ] {
            assert_eq!(bytes(text), value, "{text}");
        }
    }

    #[test]
    fn devices_have_three_parts() {
        let read = |text| device(text).map(|d| (d.path_on_host, d.path_in_container, d.cgroup_permissions));
        let row = |a: &str, b: &str, c: &str| Ok((a.into(), b.into(), c.into()));
        assert_eq!(read("/dev/a"), row("/dev/a", "/dev/a", "rwm"));
        assert_eq!(read("/dev/a:r"), row("/dev/a", "/dev/a", "r"));
        assert_eq!(read("/dev/a:/dev/b:mw"), row("/dev/a", "/dev/b", "mw"));
        for bad in ["a", "/dev/a:b", "/dev/a:/b:x", "/dev/a:/b:rr", "/a:/b:r:w", ""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rules_name_type_numbers_and_access() {
        let rule = device_rule("c 10:* rw").unwrap();
        assert_eq!((rule.major, rule.minor, rule.access.as_str()), (Some(10), Some(-1), "rw"));
        for bad in ["", "c 10:200", "d 1:1 r", "c 1 r", "c 1:1 x", "c 1:1 r ", "c -1:1 r"] {
            assert!(
                device_rule(bad).unwrap_err().to_string().contains("invalid device cgroup format"),
                "{bad}"
            );
        }
    }

    #[test]
    fn soft_limits_are_below_hard_ones() {
        let read = |text| ulimit(text).map(|u| (u.soft, u.hard));
        assert_eq!(read("nofile=1024:2048"), Ok((1024, 2048)));
        assert_eq!(read("nproc=5"), Ok((5, 5)));
        assert_eq!(read("core=-1"), Ok((-1, -1)));
        assert_eq!(read("core=5:-1"), Ok((5, -1)));
        for bad in ["nofile", "fly=1", "nofile=2:1", "nofile=-1:5", "nofile=x", "nofile=-2"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer(text in "[-a-z0-9/:= .*]{0,24}") {
            let _ = (bytes(&text), device(&text), device_rule(&text), ulimit(&text));
        }
    }
}
