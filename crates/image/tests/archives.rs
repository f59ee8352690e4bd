//! Save, load and import, with archives that are broken or hostile.

mod support;

use image::{ArchiveFormat, Error, ImportOptions, SaveOptions};
use oci::image::Compression;
use support::{docker_archive, find, images, layers, load, path_text, read, reference, skopeo, tar, told};
use testkit::Testbed;

fn save(
    images: &image::Images,
    image: &image::Image,
    format: ArchiveFormat,
    compression: Compression,
) -> Vec<u8> {
    let mut archive = Vec::new();
    let names = vec![reference("app:1")];
    images.save(&[(image.clone(), names)], SaveOptions { format, compression }, &mut archive).unwrap();
    archive
}

#[test]
fn every_form_comes_back_the_same() {
    let bed = Testbed::new();
    let here = images(&bed, "here");
    let image = load(&here, "app:1", &layers());
    for (at, (format, compression)) in [
        (ArchiveFormat::Docker, Compression::None),
        (ArchiveFormat::Docker, Compression::Gzip),
        (ArchiveFormat::Oci, Compression::Zstd),
    ]
    .into_iter()
    .enumerate()
    {
        let archive = save(&here, &image, format, compression);
        let there = images(&bed, &format!("there{at}"));
        let loaded = there.load("test", archive.as_slice()).unwrap();
        assert_eq!(loaded[0].names, [reference("app:1")]);
        assert_eq!(std::fs::read_dir(there.snapshots().root().join("stage")).unwrap().count(), 0);
        let copy = find(&there, "app:1");
        assert_eq!((copy.id(), copy.target.digest), (image.id(), image.target.digest));
        assert_eq!(read(&there, &copy, "etc/os-release").unwrap(), b"NAME=changed\n");
    }
    assert_eq!(
        save(&here, &image, ArchiveFormat::Docker, Compression::None),
        save(&here, &image, ArchiveFormat::Docker, Compression::None)
    );
}

#[test]
fn skopeo_reads_what_is_saved_and_what_it_writes_is_loaded() {
    let bed = Testbed::new();
    let here = images(&bed, "here");
    let image = load(&here, "app:1", &layers());
    let (archive, layout) = (bed.path().join("app.tar"), bed.path().join("layout"));
    std::fs::write(&archive, save(&here, &image, ArchiveFormat::Docker, Compression::None)).unwrap();
    here.save_directory(&[(image.clone(), vec![reference("app:1")])], &layout).unwrap();
    let from_archive = format!("docker-archive:{}:app:1", path_text(&archive));
    let from_layout = format!("oci:{}:1", path_text(&layout));
    for (at, from) in [&from_archive, &from_layout].into_iter().enumerate() {
        for kind in ["docker-archive", "oci-archive"] {
            let file = bed.path().join(format!("{kind}{at}.tar"));
            let to = match kind {
                "docker-archive" => format!("{kind}:{}:copy:2", path_text(&file)),
                _ => format!("{kind}:{}:docker.io/library/copy:2", path_text(&file)),
            };
            skopeo(&["copy", "-q", "--insecure-policy", from, &to]);
            let there = images(&bed, &format!("there-{kind}{at}"));
            let loaded = there.load(kind, std::fs::File::open(&file).unwrap()).unwrap();
            assert_eq!(loaded[0].names, [reference("copy:2")]);
            assert_eq!(read(&there, &find(&there, "copy:2"), "etc/motd").unwrap(), b"hello\n");
        }
    }
    let there = images(&bed, "there");
    assert_eq!(there.load_directory(&layout).unwrap()[0].names, [reference("app:1")]);
}

#[test]
fn an_import_becomes_an_image() {
    let bed = Testbed::new();
    let here = images(&bed, "here");
    let mut config = oci::image::ContainerConfig::default();
    image::apply_change(&mut config, r#"CMD ["/bin/sh"]"#).unwrap();
    let options = ImportOptions {
        message: "note".into(),
        platform: oci::image::Platform::host(),
        config,
        created: std::time::UNIX_EPOCH,
    };
    let archive = tar(&[("etc/motd", b"imported\n")]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &archive).unwrap();
    let compressed = encoder.finish().unwrap();
    let name = reference("rootfs:1");
    here.import("test", compressed.as_slice(), Some(&name), options).unwrap();
    let image = find(&here, "rootfs:1");
    assert_eq!(image.config.config.cmd.as_deref(), Some(&["/bin/sh".to_owned()][..]));
    assert_eq!(image.config.rootfs.diff_ids, [oci::image::Digest::sha256(&archive)]);
    assert_eq!(read(&here, &image, "etc/motd").unwrap(), b"imported\n");
}

fn refusal(archive: &[u8]) -> String {
    let bed = Testbed::new();
    let here = images(&bed, "here");
    let error = here.load("test", archive).unwrap_err();
    assert!(here.list(&[]).unwrap().is_empty());
    told(&error)
}

#[test]
fn what_is_no_archive_of_images_is_told() {
    for (archive, word) in [
        (tar(&[("readme", b"x")]), "neither index.json nor manifest.json"),
        (tar(&[("manifest.json", b"{")]), "manifest.json"),
        (tar(&[("manifest.json", br#"[{"Config":"c.json","Layers":[]}]"#)]), "c.json"),
        (tar(&[("index.json", br#"{"schemaVersion":1}"#)]), "schema"),
        (tar(&[("index.json", &vec![b' '; 5 << 20])]), "larger than"),
        (b"no tar at all".to_vec(), "truncated"),
        (docker_archive("app:1", &layers())[..700_000].to_vec(), "truncated"),
    ] {
        let told = refusal(&archive);
        assert!(told.contains(word), "{told}");
    }
}

/// CVE-2024-3727: a digest that is a path must not reach the file system.
#[test]
fn cve_2024_3727_digests_are_no_paths() {
    let told = refusal(&tar(&[("blobs/sha256/../../../../etc/passwd", b"x")]));
    assert!(told.contains("no blob's name"), "{told}");
    let index =
        br#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",
        "digest":"sha256:../../../../etc/passwd","size":1}]}"#;
    refusal(&tar(&[("index.json", index)]));
}

#[test]
fn a_blob_that_is_not_what_its_name_says_is_refused() {
    let digest = oci::image::Digest::sha256(b"right");
    let told = refusal(&tar(&[(&format!("blobs/sha256/{}", digest.hex()), b"wrong")]));
    assert!(told.contains(&digest.to_string()), "{told}");
}

#[test]
fn links_of_old_archives_lead_to_their_layers() {
    // A link that leads in a circle ends in an error, not in a loop.
    let bed = Testbed::new();
    let here = images(&bed, "here");
    let manifest = br#"[{"Config":"config.json","RepoTags":[],"Layers":["a/layer.tar"]}]"#;
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let archive = tar(&[("config.json", config), ("manifest.json", manifest)]);
    let error = here.load("test", archive.as_slice()).unwrap_err();
    assert!(matches!(error, Error::Archive { .. }), "{error}");
}
