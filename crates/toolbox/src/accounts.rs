//! Names of users and groups, read from /etc without NSS, which a static binary can't enter.

use std::collections::HashMap;
use std::path::Path;

use namespace::IdKind;

/// The accounts of a passwd(5) or group(5) file.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    names: HashMap<u32, String>,
    ids: HashMap<String, u32>,
    groups: HashMap<u32, u32>,
}

/// A text that is neither an id nor a name in the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is neither a number nor a name in {file}", name.escape_debug())]
#[allow(missing_docs)]
pub struct UnknownAccount {
    pub name: String,
    pub file: &'static str,
}

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

impl Accounts {
    /// The users of this host; none if the file can't be read.
    pub fn users() -> Self {
        Self::read(Path::new(PASSWD))
    }

    /// The groups of this host.
    pub fn groups() -> Self {
        Self::read(Path::new(GROUP))
    }

    fn read(path: &Path) -> Self {
        std::fs::read(path).map(|text| Self::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &[u8]) -> Self {
        let mut accounts = Self::default();
        for line in text.split(|&byte| byte == b'\n') {
            let mut fields = line.split(|&byte| byte == b':').map(std::str::from_utf8);
            let (Some(Ok(name)), Some(Ok(id))) = (fields.next(), fields.nth(1)) else { continue };
            let Ok(id) = id.parse() else { continue };
            if let Some(Ok(group)) = fields.next()
                && let Ok(group) = group.parse()
            {
                accounts.groups.entry(id).or_insert(group);
            }
            accounts.names.entry(id).or_insert_with(|| name.to_owned());
            accounts.ids.entry(name.to_owned()).or_insert(id);
        }
        accounts
    }

    /// The name of an id, or its digits.
    pub fn name(&self, id: u32) -> String {
        self.names.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// The login group of a user.
    pub fn login_group(&self, uid: u32) -> Option<u32> {
        self.groups.get(&uid).copied()
    }

    fn id(&self, text: &str) -> Option<u32> {
        text.parse().ok().or_else(|| self.ids.get(text).copied())
    }
}

/// The id of a user given by number or name.
pub fn user_id(text: &str) -> Result<u32, UnknownAccount> {
    Accounts::users().id(text).ok_or_else(|| UnknownAccount { name: text.to_owned(), file: PASSWD })
}

/// The id of a group given by number or name.
pub fn group_id(text: &str) -> Result<u32, UnknownAccount> {
    Accounts::groups().id(text).ok_or_else(|| UnknownAccount { name: text.to_owned(), file: GROUP })
}

/// A range of ids that a user may map into his user namespaces; subuid(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubordinateRange {
    /// The first id.
    pub start: u32,
    /// How many.
    pub count: u32,
}

/// Why a user has no subordinate ids.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SubordinateError {
    #[error("read {file}: {source}")]
    Unreadable { file: &'static str, source: std::io::Error },
    #[error("{file} has no range for the user {user}: usermod {option} 100000-165535 {user}")]
    None { file: &'static str, user: String, option: &'static str },
}

/// The first range that /etc/subuid or /etc/subgid gives a user.
pub fn first_subordinate_range(kind: IdKind, uid: u32) -> Result<SubordinateRange, SubordinateError> {
    let (file, option) = match kind {
        IdKind::User => ("/etc/subuid", "--add-subuids"),
        IdKind::Group => ("/etc/subgid", "--add-subgids"),
    };
    let text = std::fs::read(file).map_err(|source| SubordinateError::Unreadable { file, source })?;
    let user = Accounts::users().name(uid);
    let ranges = subordinate_ranges(&String::from_utf8_lossy(&text), &user, uid);
    ranges.first().copied().ok_or(SubordinateError::None { file, user, option })
}

/// The ranges of a user, who is in the file by name or by id.
fn subordinate_ranges(text: &str, user: &str, uid: u32) -> Vec<SubordinateRange> {
    let range = |line: &str| match line.trim().split(':').collect::<Vec<_>>()[..] {
        [owner, start, count] if owner == user || owner == uid.to_string() => {
            Some(SubordinateRange { start: start.parse().ok()?, count: count.parse().ok()? })
        }
        _ => None,
    };
    text.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_and_odd_lines_skipped() {
        let text = b"root:x:0:0:root:/root:/bin/sh\n\n# note\n+::::\n\xff:x:7:7::/:\nbad:x:y:1\nu:x:1000:100::/:\nalso:x:0:0\n";
        let accounts = Accounts::parse(text);
        assert_eq!(accounts.name(0), "root");
        assert_eq!(accounts.name(7), "7");
        assert_eq!(accounts.id("u"), Some(1000));
        assert_eq!(accounts.id("42"), Some(42));
        assert_eq!(accounts.id("bad"), None);
        assert_eq!(accounts.login_group(1000), Some(100));
    }

    #[test]
    fn an_unknown_name_is_an_error_that_names_the_file() {
        let error = user_id("no such user").unwrap_err();
        assert_eq!(error.to_string(), "\"no such user\" is neither a number nor a name in /etc/passwd");
    }

    #[test]
    fn subordinate_ranges_are_found_by_name_and_by_id() {
        let text = "a:100000:65536\n# b:1:2\n1000:300000:10\nb:400000:5\nb:x:5\nb:1:2:3\n";
        let starts =
            |ranges: Vec<SubordinateRange>| ranges.iter().map(|range| range.start).collect::<Vec<_>>();
        assert_eq!(starts(subordinate_ranges(text, "b", 1000)), [300_000, 400_000]);
        assert_eq!(starts(subordinate_ranges(text, "nobody", 7)), [0; 0]);
    }
}
