//! Writes maps and offsets to throw-away namespaces, made by unshare of util-linux.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use namespace::{
    Extent, IdKind, IdMap, Kind, NamespaceFile, Offset, TimeOffsets, UNMAPPED, WriteError, deny_setgroups,
    write_map, write_map_with_helper, write_time_offsets,
};
use rustix::process::Pid;
use sys::process::NamespaceFlags;

/// A process that sleeps in namespaces of its own; killed when dropped.
struct Sleeper(Child);

impl Sleeper {
    fn unshared(flag: &str, kind: Kind) -> Self {
        let child = Command::new("unshare")
            .args([flag, "sleep", "60"])
            .stdout(Stdio::null())
            .spawn()
            .expect("unshare of util-linux");
        let sleeper = Self(child);
        let own = NamespaceFile::of_self(kind).unwrap().id().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while NamespaceFile::of_process(sleeper.pid(), kind).unwrap().id().unwrap() == own {
            assert!(Instant::now() < deadline, "unshare {flag} takes too long");
            std::thread::yield_now();
        }
        sleeper
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    fn proc_text(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.pid())).unwrap()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn map(extents: &[(u32, u32, u32)]) -> IdMap {
    let extents = extents.iter().map(|&(inside, outside, count)| Extent { inside, outside, count });
    IdMap::new(extents.collect()).unwrap()
}

#[test]
fn maps_are_written_once() {
    let sleeper = Sleeper::unshared("--user", Kind::User);
    let users = map(&[(0, 100_000, 1000), (1000, 1000, 1)]);
    deny_setgroups(sleeper.pid()).unwrap();
    write_map(sleeper.pid(), IdKind::User, &users).unwrap();
    write_map(sleeper.pid(), IdKind::Group, &IdMap::identity()).unwrap();
    assert_eq!(IdMap::parse(&sleeper.proc_text("uid_map")).unwrap(), users);
    assert_eq!(IdMap::parse(&sleeper.proc_text("gid_map")).unwrap(), IdMap::identity());
    assert_eq!(sleeper.proc_text("setgroups"), "deny\n");

    let error = write_map(sleeper.pid(), IdKind::User, &users).unwrap_err();
    assert!(matches!(error, WriteError::File { .. }), "{error}");
}

#[test]
fn the_kernel_takes_what_validation_takes() {
    let maps = [
        map(&[(0, UNMAPPED - 5, 5)]),
        map(&[(UNMAPPED - 1, 0, 1)]),
        IdMap::new((0..340).map(|id| Extent { inside: id, outside: id, count: 1 }).collect()).unwrap(),
    ];
    for map in maps {
        let sleeper = Sleeper::unshared("--user", Kind::User);
        write_map(sleeper.pid(), IdKind::User, &map).unwrap();
        let mut written = IdMap::parse(&sleeper.proc_text("uid_map")).unwrap().extents().to_vec();
        written.sort();
        assert_eq!(written, map.extents());
    }
}

#[test]
fn the_kernel_refuses_what_validation_refuses() {
    let texts = ["0 0 0", "4294967295 0 1", "0 4294967290 6", "0 0 6\n5 100 10", "0 0 6\n100 5 10"];
    let sleeper = Sleeper::unshared("--user", Kind::User);
    for text in texts {
        let extents = IdMap::parse(text).unwrap().extents().to_vec();
        assert!(IdMap::new(extents).is_err(), "{text}");
        let written = fs::write(format!("/proc/{}/uid_map", sleeper.pid()), text);
        assert_eq!(written.unwrap_err().raw_os_error(), Some(22), "{text}");
    }
}

#[test]
fn newuidmap_writes_maps_and_its_refusal_is_quoted() {
    let sleeper = Sleeper::unshared("--user", Kind::User);
    let foreign = map(&[(0, 4_000_000_000, 10)]);
    let error = write_map_with_helper(sleeper.pid(), IdKind::User, &foreign).unwrap_err();
    assert!(matches!(error, WriteError::HelperRefused { .. }), "is the package uidmap installed? {error}");
    assert!(error.to_string().contains("0 4000000000 10"), "{error}");

    // Everybody may map himself without an entry in /etc/subuid.
    let own = map(&[(0, rustix::process::getuid().as_raw(), 1)]);
    write_map_with_helper(sleeper.pid(), IdKind::User, &own).unwrap();
    assert_eq!(IdMap::parse(&sleeper.proc_text("uid_map")).unwrap(), own);
}

#[test]
fn a_time_namespace_gets_its_offsets() {
    let sleeper = Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().map(Sleeper).unwrap();
    let offsets = TimeOffsets { boottime: Some(Offset { seconds: 7, nanoseconds: 9 }), monotonic: None };
    // A process whose children stay in the host's time namespace: nothing to set there.
    assert!(write_time_offsets(sleeper.pid(), &offsets).is_err());
    drop(sleeper);

    std::thread::spawn(move || {
        sys::process::unshare(NamespaceFlags::TIME).unwrap();
        let thread = rustix::thread::gettid();
        write_time_offsets(thread, &offsets).unwrap();
        let text = fs::read_to_string(format!("/proc/{thread}/timens_offsets")).unwrap();
        assert_eq!(TimeOffsets::parse(&text).unwrap().boottime, offsets.boottime);
    })
    .join()
    .unwrap();
}

#[test]
fn a_child_namespace_knows_its_parent_and_owner() {
    let sleeper = Sleeper::unshared("--user", Kind::User);
    let file = NamespaceFile::of_process(sleeper.pid(), Kind::User).unwrap();
    let own = NamespaceFile::of_self(Kind::User).unwrap();
    assert_eq!(file.parent().unwrap().unwrap().id().unwrap(), own.id().unwrap());
    assert_eq!(file.owner_uid().unwrap(), rustix::process::getuid().as_raw());
}
