//! Options of file systems in memory.

use crate::config::MountConfig;

use super::MountError;

/// What a tmpfs has unless its options say otherwise.
const DEFAULTS: [&str; 4] = ["noexec", "nosuid", "nodev", "rprivate"];

/// Flags, each beside its contrary.
const FLAGS: [(&str, &str); 9] = [
    ("ro", "rw"),
    ("nosuid", "suid"),
    ("nodev", "dev"),
    ("noexec", "exec"),
    ("sync", "async"),
    ("noatime", "atime"),
    ("nodiratime", "diratime"),
    ("relatime", "norelatime"),
    ("strictatime", "nostrictatime"),
];

const PROPAGATIONS: [&str; 8] =
    ["private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"];

/// Options with a value.
const VALUES: [&str; 7] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];

/// Checks options of `--tmpfs PATH:OPTIONS`.
///
/// # Errors
/// One that a tmpfs does not have.
pub fn check_options(options: &str) -> Result<(), MountError> {
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let is_flag = FLAGS.iter().any(|(one, other)| option == *one || option == *other);
        let has_value =
            option.split_once('=').is_some_and(|(key, value)| VALUES.contains(&key) && sound(key, value));
        let known = is_flag
            || has_value
            || PROPAGATIONS.contains(&option)
            || matches!(option, "defaults" | "tmpcopyup" | "notmpcopyup" | "remount" | "huge" | "noswap");
        if !known {
            return Err(MountError::Tmpfs(option.into()));
        }
    }
    Ok(())
}

fn sound(key: &str, value: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match key {
        "size" => digits(value.trim_end_matches(['k', 'm', 'g', 'K', 'M', 'G', '%'])),
        "nr_inodes" | "nr_blocks" => digits(value.trim_end_matches(['k', 'm', 'g', 'K', 'M', 'G'])),
        "mode" => u32::from_str_radix(value, 8).is_ok_and(|mode| mode <= 0o7777),
        "uid" | "gid" => value.parse::<u32>().is_ok(),
        _ => !value.is_empty(),
    }
}

/// The defaults and the options laid over them: the last word on a thing counts.
pub fn merge_options(options: &str) -> Vec<String> {
    let mut merged: Vec<String> = DEFAULTS.map(str::to_owned).into();
    for option in options.split(',').filter(|option| !matches!(*option, "" | "defaults" | "notmpcopyup")) {
        merged.retain(|earlier| !same_thing(earlier, option));
        merged.push(option.to_owned());
    }
    merged
}

fn same_thing(one: &str, other: &str) -> bool {
    let subject = |option: &str| {
        let flag = FLAGS.iter().position(|(yes, no)| option == *yes || option == *no);
        match (flag, PROPAGATIONS.contains(&option), option.split_once('=')) {
            (Some(flag), ..) => format!("flag {flag}"),
            (None, true, _) => "propagation".to_owned(),
            (None, false, Some((key, _))) => key.to_owned(),
            (None, false, None) => option.to_owned(),
        }
    };
    subject(one) == subject(other)
}

/// The options of a `--mount type=tmpfs`, as one string.
pub(super) fn of_config(mount: &MountConfig) -> Result<String, MountError> {
    let mut options = Vec::new();
    if mount.read_only {
        options.push("ro".to_owned());
    }
    if let Some(given) = &mount.tmpfs_options {
        if let Some(mode) = given.mode.filter(|mode| *mode != 0) {
            options.push(format!("mode={mode:o}"));
        }
        if given.size_bytes < 0 {
            return Err(MountError::Tmpfs(format!("size={}", given.size_bytes)));
        }
        if given.size_bytes > 0 {
            options.push(format!("size={}", given.size_bytes));
        }
        options.extend(given.options.iter().map(|pair| pair.join("=")));
    }
    let options = options.join(",");
    check_options(&options)?;
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TmpfsOptions;

    #[test]
    fn the_last_word_counts() {
        assert_eq!(merge_options(""), DEFAULTS);
        assert_eq!(merge_options("exec,size=1m,size=2m"), ["nosuid", "nodev", "rprivate", "exec", "size=2m"]);
        assert_eq!(merge_options("rshared,ro,rw"), ["noexec", "nosuid", "nodev", "rshared", "rw"]);
    }

    #[test]
    fn unknown_options_are_refused() {
        check_options("rw,noexec,size=64k,mode=1777,uid=5,nr_inodes=10k,size=50%").unwrap();
        for bad in ["loop", "size=", "size=x", "mode=9", "uid=-1", "context=x"] {
            assert!(check_options(bad).unwrap_err().to_string().contains(bad), "{bad}");
        }
    }

    #[test]
    fn fields_become_options() {
        let options = TmpfsOptions {
            size_bytes: 4096,
            mode: Some(0o1770),
            options: vec![vec!["noexec".into()], vec!["uid".into(), "7".into()]],
        };
        let mount = MountConfig { read_only: true, tmpfs_options: Some(options), ..MountConfig::default() };
        assert_eq!(of_config(&mount).unwrap(), "ro,mode=1770,size=4096,noexec,uid=7");
    }
}
