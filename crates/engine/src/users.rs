//! Who runs in a container: names and numbers by the /etc/passwd and /etc/group of its own root.
//!
//! Both files are the image's, so they may be anything: links out of the root, pipes, gigabytes, not UTF-8. They are
//! opened within the root, never waited for, and read up to a limit.

use std::io::Read;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// More of a file than this is not read.
const LIMIT: u64 = 16 << 20;

/// The greatest id that Docker takes.
const GREATEST: u32 = i32::MAX as u32;

/// Who runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, the group itself first.
    pub groups: Vec<u32>,
    /// The home directory, `/` where none is known.
    pub home: String,
}

/// Why nobody can run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum UserError {
    #[error("unable to find user {}: no matching entries in passwd file", .0.escape_debug())]
    NoUser(String),
    #[error("unable to find group {}: no matching entries in group file", .0.escape_debug())]
    NoGroup(String),
    #[error("{} {} is out of range: uids and gids must be in range 0-2147483647", .0, .1.escape_debug())]
    Range(&'static str, String),
    #[error("read /{0} of the container: {1}")]
    Unreadable(&'static str, Errno),
    #[error("read /{0} of the container: it is no regular file")]
    Irregular(&'static str),
    #[error("read /{0} of the container: it is larger than 16 MiB")]
    TooLarge(&'static str),
}

/// The accounts that a root file system knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    /// Reads the accounts of the file system at `root`; a file that is missing has no entries.
    ///
    /// # Errors
    /// A file can't be read as one.
    pub fn read(root: BorrowedFd<'_>) -> Result<Accounts, UserError> {
        Ok(Accounts { passwd: read(root, "etc/passwd")?, group: read(root, "etc/group")? })
    }

    /// Accounts in the form of passwd(5) and group(5).
    #[cfg(test)]
    pub fn new(passwd: &str, group: &str) -> Accounts {
        Accounts { passwd: passwd.into(), group: group.into() }
    }

    /// Who `user` (`""`, `NAME`, `UID`, each also with `:GROUP` or `:GID`) is, and with which further groups.
    ///
    /// # Errors
    /// A name that has no entry, or a number out of range.
    pub fn user(&self, user: &str, more_groups: &[String]) -> Result<User, UserError> {
        let (name, group) = user.split_once(':').unwrap_or((user, ""));
        let entry = match name {
            "" => self.users().find(|entry| entry.uid == 0),
            _ => self.users().find(|entry| entry.name == name || number(name) == Some(entry.uid)),
        };
        let (uid, mut gid) = match (&entry, name) {
            (Some(entry), _) => (entry.uid, entry.gid),
            (None, "") => (0, 0),
            (None, _) => (id("user", name)?.ok_or_else(|| UserError::NoUser(name.into()))?, 0),
        };
        let home = entry.as_ref().map_or("/", |entry| entry.home).to_owned();
        let mut groups = Vec::new();
        if !group.is_empty() {
            gid = self.group(group)?;
        } else if let Some(entry) = &entry {
            groups.extend(self.groups().filter(|group| group.has(entry.name)).map(|group| group.gid));
        }
        for group in more_groups {
            groups.push(self.group(group)?);
        }
        groups.insert(0, gid);
        let mut seen = std::collections::BTreeSet::new();
        groups.retain(|gid| seen.insert(*gid));
        Ok(User { uid, gid, groups, home })
    }

    /// The id of a group by its name or number.
    fn group(&self, name: &str) -> Result<u32, UserError> {
        let entry = self.groups().find(|entry| entry.name == name || number(name) == Some(entry.gid));
        match entry {
            Some(entry) => Ok(entry.gid),
            None => id("group", name)?.ok_or_else(|| UserError::NoGroup(name.into())),
        }
    }

    /// passwd(5): name, password, uid, gid, comment, home, shell. Lines of another form are passed over.
    fn users(&self) -> impl Iterator<Item = UserEntry<'_>> {
        self.passwd.lines().filter_map(|line| {
            let mut fields = line.trim_start().split(':');
            let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
            let uid = number(fields.nth(1)?)?;
            let gid = number(fields.next()?)?;
            let home = fields.nth(1).filter(|home| home.starts_with('/') && !home.contains('\0'));
            Some(UserEntry { name, uid, gid, home: home.unwrap_or("/") })
        })
    }

    /// group(5): name, password, gid, members.
    fn groups(&self) -> impl Iterator<Item = GroupEntry<'_>> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.trim_start().split(':');
            let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
            let gid = number(fields.nth(1)?)?;
            Some(GroupEntry { name, gid, members: fields.next().unwrap_or_default() })
        })
    }
}

struct UserEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl GroupEntry<'_> {
    fn has(&self, user: &str) -> bool {
        self.members.split(',').any(|member| member.trim() == user)
    }
}

/// A number that is an id of the file; no sign, no overflow.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|id| *id <= GREATEST)
}

/// The id that `text` writes as a number; `None` where it is a name.
fn id(what: &'static str, text: &str) -> Result<Option<u32>, UserError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    number(text).map(Some).ok_or_else(|| UserError::Range(what, text.into()))
}

fn read(root: BorrowedFd<'_>, path: &'static str) -> Result<String, UserError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
    let file = match opened {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        Err(errno) => return Err(UserError::Unreadable(path, errno)),
    };
    let stat = rustix::fs::fstat(&file).map_err(|errno| UserError::Unreadable(path, errno))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(UserError::Irregular(path));
    }
    let mut bytes = Vec::new();
    let read = std::fs::File::from(file).take(LIMIT + 1).read_to_end(&mut bytes);
    read.map_err(|error| UserError::Unreadable(path, Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    if bytes.len() as u64 > LIMIT {
        return Err(UserError::TooLarge(path));
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use proptest::prelude::*;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\nwww:x:33:34::/var/www:/bin/false\n\
                          1000:x:7:8::/odd:/bin/sh\nbig:x:4294967296:0::/:\n";
    const GROUP: &str = "root:x:0:\ndisk:x:6:root,adm\nwww:x:34:\nlog:x:50:www, root\nodd:x:-1:root\n";

    fn find(user: &str, more: &[&str]) -> Result<User, UserError> {
        let more: Vec<String> = more.iter().map(ToString::to_string).collect();
        Accounts::new(PASSWD, GROUP).user(user, &more)
    }

    fn user(uid: u32, gid: u32, groups: &[u32], home: &str) -> User {
        User { uid, gid, groups: groups.to_vec(), home: home.into() }
    }

    #[test]
    fn names_and_numbers_are_found_as_docker_finds_them() {
        for (asked, expected) in [
            ("", user(0, 0, &[0, 6, 50], "/root")),
            ("0", user(0, 0, &[0, 6, 50], "/root")),
            ("www", user(33, 34, &[34, 50], "/var/www")),
            ("33", user(33, 34, &[34, 50], "/var/www")),
            // A group that is given leaves no others.
            ("www:disk", user(33, 6, &[6], "/var/www")),
            ("www:77", user(33, 77, &[77], "/var/www")),
            ("4711", user(4711, 0, &[0], "/")),
            ("4711:6", user(4711, 6, &[6], "/")),
            (":disk", user(0, 6, &[6], "/root")),
            // A name may look like a number.
            ("1000", user(7, 8, &[8], "/odd")),
        ] {
            assert_eq!(find(asked, &[]), Ok(expected), "{asked:?}");
        }
        assert_eq!(find("www", &["disk", "999", "log"]), Ok(user(33, 34, &[34, 50, 6, 999], "/var/www")));
    }

    #[test]
    fn what_is_nowhere_is_named() {
        assert_eq!(find("nobody", &[]), Err(UserError::NoUser("nobody".into())));
        assert_eq!(find("www:nogroup", &[]), Err(UserError::NoGroup("nogroup".into())));
        assert_eq!(find("www", &["no"]), Err(UserError::NoGroup("no".into())));
        for number in ["4294967295", "2147483648", "-1", "99999999999999999999"] {
            assert_eq!(find(number, &[]), Err(UserError::Range("user", number.into())));
        }
        assert_eq!(find("big", &[]), Err(UserError::NoUser("big".into())));
    }

    #[test]
    fn hostile_files_neither_block_nor_lead_out() {
        let directory = tempfile::tempdir().unwrap();
        let root =
            rustix::fs::open(directory.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        assert_eq!(Accounts::read(root.as_fd()), Ok(Accounts::default()));
        let etc = directory.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        std::os::unix::fs::symlink("/../../../../../etc/passwd", etc.join("passwd")).unwrap();
        // The link leads to itself, within the root.
        assert_eq!(Accounts::read(root.as_fd()), Err(UserError::Unreadable("etc/passwd", Errno::LOOP)));
        std::fs::remove_file(etc.join("passwd")).unwrap();
        let mode = Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, etc.join("passwd"), FileType::Fifo, mode, 0).unwrap();
        assert_eq!(Accounts::read(root.as_fd()), Err(UserError::Irregular("etc/passwd")));
        std::fs::remove_file(etc.join("passwd")).unwrap();
        let huge = std::fs::File::create(etc.join("passwd")).unwrap();
        huge.set_len(LIMIT + 1).unwrap();
        assert_eq!(Accounts::read(root.as_fd()), Err(UserError::TooLarge("etc/passwd")));
        std::fs::write(etc.join("passwd"), b"\xff\xfe\nu\xff:x:1:1::/:\nok:x:5:6::/h:\n").unwrap();
        let accounts = Accounts::read(root.as_fd()).unwrap();
        assert_eq!(accounts.user("ok", &[]), Ok(user(5, 6, &[6], "/h")));
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer(passwd in "[a-z0-9:\n#,-]{0,80}", group in "[a-z0-9:\n,]{0,80}", who in "[a-z0-9:-]{0,12}") {
            let found = Accounts::new(&passwd, &group).user(&who, &[]);
            if let Ok(user) = found {
                prop_assert!(user.uid <= GREATEST && user.gid <= GREATEST);
                prop_assert_eq!(user.groups[0], user.gid);
            }
        }
    }
}
