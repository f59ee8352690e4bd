//! The container's own /etc/passwd: read by ourselves, since NSS can't be entered from a static binary.

use std::io::Read;

use rustix::fs::{Mode, OFlags};

/// More of a passwd file than this is not read: the image's author chose its size.
const LIMIT: u64 = 1 << 20;

/// The home directory of a user, `/` where none is known. Called inside the container.
pub(crate) fn home_of(uid: u32) -> String {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mut text = Vec::new();
    if let Ok(file) = rustix::fs::open("/etc/passwd", flags, Mode::empty()) {
        // What can't be read has no entry.
        let _ = std::fs::File::from(file).take(LIMIT).read_to_end(&mut text);
    }
    home_in(&String::from_utf8_lossy(&text), uid).unwrap_or("/").to_owned()
}

/// passwd(5): name, password, uid, gid, comment, home, shell.
fn home_in(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let found = fields.next()?.trim().parse() == Ok(uid);
        found.then(|| fields.nth(2)).flatten().filter(|home| home.starts_with('/') && !home.contains('\0'))
    })
}

#[cfg(test)]
mod tests {
    use super::home_in;

    #[test]
    fn finds_the_home_of_a_uid() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nu:x:1000:1000::/home/u:/bin/sh\nv:x:7:7::rel:\n";
        assert_eq!(home_in(passwd, 1000), Some("/home/u"));
        assert_eq!(home_in(passwd, 0), Some("/root"));
        assert_eq!(home_in(passwd, 7), None);
        assert_eq!(home_in(passwd, 9), None);
    }
}
