//! The ids that a user may map beside his own: subuid(5), or wherever nsswitch.conf(5) says that they are.

use std::process::{Command, Stdio};

use namespace::IdKind;

/// Ids that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub start: u32,
    /// How many.
    pub count: u32,
}

/// Why it is not known which they are.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SubidError {
    #[error(
        "/etc/nsswitch.conf says that subordinate ids come from {source_name}, and getsubids can't be run to ask for them: \
         {source}; it is in the package uidmap"
    )]
    NoProgram { source_name: String, source: std::io::Error },
}

/// The ranges of user `uid`; none where nobody gave him any.
///
/// # Errors
/// They come from a service, and the program that asks it is missing.
pub fn own_ranges(kind: IdKind, uid: u32) -> Result<Vec<Range>, SubidError> {
    let read = |path: &str| std::fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned());
    let user = user_name(&read("/etc/passwd").unwrap_or_default(), uid);
    match service(&read("/etc/nsswitch.conf").unwrap_or_default()) {
        None => {
            let file = if kind == IdKind::User { "/etc/subuid" } else { "/etc/subgid" };
            Ok(ranges_in(&read(file).unwrap_or_default(), &user, uid))
        }
        Some(source_name) => {
            let mut command = Command::new("getsubids");
            if kind == IdKind::Group {
                command.arg("-g");
            }
            let output = command.arg(&user).stdin(Stdio::null()).stderr(Stdio::null()).output();
            let output = output.map_err(|source| SubidError::NoProgram { source_name, source })?;
            Ok(ranges_told(&String::from_utf8_lossy(&output.stdout)))
        }
    }
}

/// The source of subordinate ids that nsswitch.conf names, where it is not the files.
fn service(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.split('#').next()?.trim().strip_prefix("subid:"))?;
    let source = line.split_whitespace().next()?;
    (source != "files").then(|| source.to_owned())
}

/// The name of a user, or his number.
fn user_name(passwd: &str, uid: u32) -> String {
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    name.map_or_else(|| uid.to_string(), str::to_owned)
}

/// The ranges of a user, who is in the file by name or by number.
fn ranges_in(text: &str, user: &str, uid: u32) -> Vec<Range> {
    let number = uid.to_string();
    let range = |line: &str| match line.trim().split(':').collect::<Vec<_>>()[..] {
        [owner, start, count] if owner == user || owner == number => range(start, count),
        _ => None,
    };
    text.lines().filter_map(range).collect()
}

/// What getsubids(1) prints: `0: user 100000 65536`.
fn ranges_told(text: &str) -> Vec<Range> {
    let range = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, _, start, count] => range(start, count),
        _ => None,
    };
    text.lines().filter_map(range).collect()
}

fn range(start: &str, count: &str) -> Option<Range> {
    let range = Range { start: start.parse().ok()?, count: count.parse().ok()? };
    (range.count > 0).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let text = "a:100000:65536\n# b:1:2\n1000:300000:10\nb:400000:5\nb:x:5\nb:1:2:3\nb:5:0\n";
        let starts = |ranges: Vec<Range>| ranges.iter().map(|range| range.start).collect::<Vec<_>>();
        assert_eq!(starts(ranges_in(text, "b", 1000)), [300_000, 400_000]);
        assert_eq!(starts(ranges_in(text, "nobody", 7)), [0; 0]);
        assert_eq!(
            ranges_told("0: b 100000 65536\nx\n1: b 7 1\n"),
            [Range { start: 100_000, count: 65_536 }, Range { start: 7, count: 1 }]
        );
    }

    #[test]
    fn users_and_sources_have_names() {
        let passwd = "root:x:0:0::/:\nme:x:1000:1000::/home/me:/bin/sh\n";
        assert_eq!((user_name(passwd, 1000), user_name(passwd, 7)), ("me".to_owned(), "7".to_owned()));
        assert_eq!(service("passwd: files\nsubid: sss # x\n"), Some("sss".to_owned()));
        assert_eq!((service("subid: files\n"), service("#subid: sss\n")), (None, None));
    }
}
