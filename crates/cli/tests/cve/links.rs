//! Links in an image that lead out of it.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;
use testkit::Testbed;

use crate::{add_mount, assert_empty, entries, outside, run, without_mount};

/// Defence: every walk into the root file system is an openat2(2) with RESOLVE_IN_ROOT, so an absolute link starts at
/// the container's root. Tried with all that a runtime makes, mounts or opens there by a path of the image's.
#[test]
fn cve_2019_18837_links_to_absolute_paths_stay_inside() {
    let bed = Testbed::new();
    let outside = outside(&bed);
    let file = outside.join("file");
    fs::write(&file, "the host's").unwrap();
    let mut bundle = bed.bundle();
    let rootfs = bundle.rootfs();
    fs::create_dir(rootfs.join("links")).unwrap();
    for (link, target) in [("links/dir", &outside), ("links/file", &file)] {
        symlink(target, rootfs.join(link)).unwrap();
    }
    let source = bed.path().join("source");
    fs::write(&source, "mounted").unwrap();
    bundle.edit(|spec| {
        without_mount(spec, "/dev/mqueue");
        add_mount(spec, json!({"destination": "/links/dir/tmpfs", "type": "tmpfs", "source": "tmpfs"}));
        for destination in ["/links/file", "/links/dir/bound"] {
            add_mount(spec, json!({"destination": destination, "source": source, "options": ["bind"]}));
        }
        spec["linux"]["devices"] =
            json!([{"path": "/links/dir/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]);
        spec["linux"]["maskedPaths"].as_array_mut().unwrap().push("/links/dir/masked".into());
        spec["linux"]["readonlyPaths"].as_array_mut().unwrap().push("/links/dir".into());
        spec["process"]["cwd"] = "/links/dir/work".into();
    });
    bundle.script("cat /links/file /links/dir/bound; pwd; test -c /links/dir/null");
    let output = run(&bed, &bundle).expect_success().stdout();
    assert_eq!(output, format!("mountedmounted{}/work\n", outside.display()));
    assert_eq!(entries(&outside), [&*file]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "the host's");
    // It all went where the links lead for the container.
    let inside = rootfs.join(outside.strip_prefix("/").unwrap());
    assert_eq!(entries(&inside).len(), 5, "{:?}", entries(&inside));
}

/// Defence: the same, for links that climb.
#[test]
fn cve_2019_18837_links_that_climb_stay_inside() {
    let bed = Testbed::new();
    let outside = outside(&bed);
    let mut bundle = bed.bundle();
    let climb = format!("../../../../../../../..{}", outside.display());
    symlink(&climb, bundle.rootfs().join("link")).unwrap();
    bundle.edit(|spec| {
        add_mount(spec, json!({"destination": "/link/a", "type": "tmpfs", "source": "tmpfs"}));
        spec["process"]["cwd"] = "/link/b".into();
    });
    run(&bed, &bundle).expect_success();
    assert_empty(&outside);
}

/// Defence: there is no handler that reads or writes files of the image; nor may there be one that follows links.
#[test]
fn cve_2025_24965_a_handlers_file_is_not_written_through_a_link() {
    let bed = Testbed::new();
    let outside = outside(&bed);
    let file = outside.join("file");
    let mut bundle = bed.bundle();
    symlink(&file, bundle.rootfs().join(".krun_config.json")).unwrap();
    bundle.edit(|spec| spec["annotations"] = json!({"run.oci.handler": "krun"}));
    drop(run(&bed, &bundle));
    assert!(!file.exists());
}
