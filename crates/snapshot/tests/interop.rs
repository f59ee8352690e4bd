//! GNU tar, bsdtar and the `tar` crate as judges: what they write is read, what is written they read.

mod support;

use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use snapshot::layer::{apply, diff};
use snapshot::tar::{Kind, Reader, Time, Writer};
use support::{options, tree};

/// A tree with everything that an archive can hold.
fn sample() -> tempfile::TempDir {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    std::fs::create_dir_all(at("d/e")).unwrap();
    std::fs::write(at("d/file"), "content").unwrap();
    std::fs::write(at("empty"), "").unwrap();
    std::fs::write(at("large"), vec![b'l'; 700_001]).unwrap();
    std::fs::hard_link(at("d/file"), at("hard")).unwrap();
    std::os::unix::fs::symlink("d/file", at("link")).unwrap();
    std::os::unix::fs::symlink("x".repeat(180), at("dangling")).unwrap();
    std::fs::write(directory.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "latin-1").unwrap();
    std::fs::create_dir_all(at(&["long"; 60].join("/"))).unwrap();
    std::fs::write(at(&["long"; 60].join("/")).join("n".repeat(200)), "long").unwrap();
    std::fs::write(at("suid"), "").unwrap();
    rustix::fs::chown(
        at("suid"),
        Some(rustix::fs::Uid::from_raw(70_000)),
        Some(rustix::fs::Gid::from_raw(3_000_000)),
    )
    .unwrap();
    std::fs::set_permissions(at("suid"), std::fs::Permissions::from_mode(0o4751)).unwrap();
    rustix::fs::lsetxattr(at("empty"), "user.key", b"a\0b\n=", rustix::fs::XattrFlags::empty()).unwrap();
    let holes = std::fs::File::create(at("holes")).unwrap();
    for offset in [1u64 << 21, 5 << 20] {
        std::os::unix::fs::FileExt::write_all_at(&holes, b"island", offset).unwrap();
    }
    holes.set_len(9 << 20).unwrap();
    let node = |name: &str, kind, device| {
        rustix::fs::mknodat(rustix::fs::CWD, at(name), kind, rustix::fs::Mode::from_raw_mode(0o640), device)
            .unwrap();
    };
    node("null", rustix::fs::FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node("pipe", rustix::fs::FileType::Fifo, 0);
    std::fs::set_permissions(at("d"), std::fs::Permissions::from_mode(0o2555)).unwrap();
    let past = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_500_000_000, 0);
    for path in tree(directory.path()).into_keys().collect::<Vec<_>>().into_iter().rev() {
        let full = directory.path().join(path);
        let stat = std::fs::metadata(&full);
        if stat.is_ok_and(|stat| stat.is_file() || stat.is_dir()) {
            std::fs::File::open(full).unwrap().set_modified(past).unwrap();
        }
    }
    directory
}

/// What an archive lacks of fractions of seconds is not held against it.
fn without_fractions(root: &Path) -> Vec<(PathBuf, String)> {
    let cut = |text: String| match text.find('.') {
        Some(point) => format!("{}{}", &text[..point], &text[point + 10..]),
        None => text,
    };
    tree(root).into_iter().map(|(path, text)| (path, cut(text))).collect()
}

fn run(program: &str, arguments: &[&str], directory: &Path) -> Vec<u8> {
    let output = Command::new(program).args(arguments).current_dir(directory).env("LC_ALL", "C").output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn applied(archive: &[u8]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    apply(archive, std::fs::File::open(directory.path()).unwrap().as_fd(), &options()).unwrap();
    directory
}

#[test]
fn what_gnu_tar_writes_is_read() {
    let sample = sample();
    let xattrs = ["--xattrs", "--xattrs-include=*"];
    for format in [
        &["--format=pax"][..],
        &["--format=pax", "--sparse", "--sparse-version=0.0"],
        &["--format=pax", "--sparse", "--sparse-version=0.1"],
        &["--format=pax", "--sparse", "--sparse-version=1.0"],
    ] {
        let archive = run("tar", &[&xattrs, format, &["-cf", "-", "."]].concat(), sample.path());
        let copy = applied(&archive);
        assert_eq!(tree(copy.path()), tree(sample.path()), "{format:?}");
    }
    // GNU's own format has no extended attributes, and whole seconds only.
    rustix::fs::lremovexattr(sample.path().join("empty"), "user.key").unwrap();
    for format in [&["--format=gnu"][..], &["--format=gnu", "--sparse"]] {
        let copy = applied(&run("tar", &[format, &["-cf", "-", "."]].concat(), sample.path()));
        assert_eq!(without_fractions(copy.path()), without_fractions(sample.path()), "{format:?}");
    }
}

#[test]
fn what_bsdtar_writes_is_read() {
    let sample = sample();
    for format in ["--format=pax", "--format=gnutar"] {
        if format == "--format=gnutar" {
            rustix::fs::lremovexattr(sample.path().join("empty"), "user.key").unwrap();
        }
        let copy = applied(&run("bsdtar", &["-c", "-f", "-", format, "--no-fflags", "."], sample.path()));
        assert_eq!(without_fractions(copy.path()), without_fractions(sample.path()), "{format}");
    }
}

#[test]
fn what_is_written_gnu_tar_and_bsdtar_read() {
    let sample = sample();
    let mut archive = Vec::new();
    diff(std::fs::File::open(sample.path()).unwrap().as_fd(), &mut archive).unwrap();
    assert!(archive.len() < 4 << 20, "holes were stored: {}", archive.len());
    for (program, arguments) in [
        ("tar", &["--xattrs", "--xattrs-include=*", "--same-owner", "-xpf"][..]),
        ("bsdtar", &["--same-owner", "-xpf"]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("layer.tar");
        std::fs::write(&file, &archive).unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        run(program, &[arguments, &[file.to_str().unwrap()]].concat(), &root);
        let (mut read, mut expected) = (tree(&root), tree(sample.path()));
        // The root itself is not in the archive.
        read.remove(Path::new(""));
        expected.remove(Path::new(""));
        assert_eq!(read, expected, "{program}");
    }
    let mut again = Vec::new();
    diff(std::fs::File::open(applied(&archive).path()).unwrap().as_fd(), &mut again).unwrap();
    assert!(again == archive, "an applied layer has another archive");
}

/// A name as archives have them: not empty, relative, without NUL and without components that are refused.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let component = prop::collection::vec(1u8.., 1..120).prop_map(|mut bytes| {
        // The crate takes a newline for the end of a PAX record, whatever the record's length says.
        bytes.retain(|&byte| byte != b'/' && byte != b'\n');
        [b"n", &bytes[..]].concat()
    });
    prop::collection::vec(component, 1..5).prop_map(|components| components.join(&b'/'))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tar_crate_and_we_read_each_other(
        members in prop::collection::vec((name(), prop::collection::vec(any::<u8>(), 0..2000), 0u32..0o10000, any::<u32>(), 0u64..1 << 33), 1..6),
    ) {
        use std::os::unix::ffi::OsStrExt;
        let mut theirs = tar::Builder::new(Vec::new());
        let mut ours = Writer::new(Vec::new());
        for (path, content, mode, uid, mtime) in &members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(*mode);
            header.set_uid(u64::from(*uid));
            header.set_gid(7);
            header.set_mtime(*mtime);
            theirs.append_data(&mut header, Path::new(std::ffi::OsStr::from_bytes(path)), &content[..]).unwrap();
            let mut member = support::file(path, "");
            member.entry.size = content.len() as u64;
            (member.entry.mode, member.entry.uid, member.entry.gid) = (*mode, *uid, 7);
            member.entry.mtime = Time { seconds: *mtime as i64, nanoseconds: 0 };
            ours.entry(&member.entry).unwrap();
            ours.content(content).unwrap();
        }
        let (theirs, ours) = (theirs.into_inner().unwrap(), ours.finish().unwrap());
        let mut reader = Reader::new(&theirs[..]);
        let mut archive = tar::Archive::new(&ours[..]);
        let mut entries = archive.entries().unwrap();
        for (path, content, mode, uid, mtime) in &members {
            let entry = reader.next_entry().unwrap().unwrap();
            prop_assert_eq!(&entry.path, path);
            prop_assert_eq!((entry.kind, entry.mode, entry.uid, entry.mtime.seconds as u64), (Kind::File, *mode, *uid, *mtime));
            prop_assert_eq!(reader.content().unwrap(), &content[..]);
            let mut entry = entries.next().unwrap().unwrap();
            prop_assert_eq!(&*entry.path_bytes(), &path[..]);
            prop_assert_eq!(entry.header().mode().unwrap(), *mode);
            let mut read = Vec::new();
            entry.read_to_end(&mut read).unwrap();
            prop_assert_eq!(&read, content);
        }
        prop_assert!(reader.next_entry().unwrap().is_none() && entries.next().is_none());
    }

    #[test]
    fn damaged_archives_never_panic_and_never_get_out(
        flips in prop::collection::vec((0usize..8192, any::<u8>()), 1..12),
    ) {
        let members = [support::dir("d"), support::file("d/f", "text"), support::symlink("l", "../outside"), support::hard("h", "d/f")];
        let mut archive = support::layer(&members);
        for (at, value) in flips {
            let length = archive.len();
            archive[at % length] = value;
        }
        // The cage checks that nothing outside changed; an error is as good as success.
        let _ = support::Cage::new().apply_bytes(&archive, &options());
    }
}
