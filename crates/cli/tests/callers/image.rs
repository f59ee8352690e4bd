//! An image of busybox, in the form that all of the callers load.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use testkit::Testbed;

/// The image's name, as fully as the pickiest caller wants it.
pub const NAME: &str = "docker.io/library/callers:test";

/// Writes an archive as `docker save` does.
///
/// # Panics
/// When tar or sha256sum fail.
pub fn archive(bed: &Testbed) -> PathBuf {
    let dir = bed.path().join("image");
    fs::create_dir(&dir).expect("create the image's directory");
    let layer = dir.join("layer.tar");
    tar(&layer, &bed.bundle().rootfs(), &["."]);
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Cmd": ["sh"], "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"] }]);
    fs::write(dir.join("config.json"), config.to_string()).expect("write the image's config");
    fs::write(dir.join("manifest.json"), manifest.to_string()).expect("write the image's manifest");
    let archive = bed.path().join("image.tar");
    tar(&archive, &dir, &["manifest.json", "config.json", "layer.tar"]);
    archive
}

fn tar(archive: &Path, dir: &Path, files: &[&str]) {
    let status = Command::new("tar").arg("-cf").arg(archive).arg("-C").arg(dir).args(files).status();
    assert!(status.expect("run tar").success(), "tar -cf {}", archive.display());
}

fn digest(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().expect("run sha256sum");
    let text = String::from_utf8(output.stdout).expect("sha256sum prints text");
    format!("sha256:{}", text.split(' ').next().expect("split yields a first part"))
}
