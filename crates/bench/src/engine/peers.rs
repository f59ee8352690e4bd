//! berth, podman and docker, each with a directory and the image of its own.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use oci::image::Digest;
use serde_json::json;
use snapshot::tar::{Entry, Kind, Writer};

use crate::Options;
use crate::image::data;
use crate::image::tools::{self, Daemon, Podman};

/// The image's name, in full as podman wants it.
pub const IMAGE: &str = "docker.io/library/bench:1";

/// An engine with the image loaded.
pub struct Engine {
    /// Its name in the tables.
    pub name: &'static str,
    place: Place,
}

enum Place {
    Berth { program: PathBuf, root: PathBuf },
    Podman(Podman),
    Docker(Daemon),
}

impl Engine {
    /// A command of Docker's name. `run` gets what the engine can't do without on a host like this one.
    pub fn command(&self, name: &str) -> Command {
        match &self.place {
            Place::Berth { program, root } => {
                let mut command = Command::new(program);
                command.arg("--root").arg(root).arg(name);
                command
            }
            Place::Podman(podman) => {
                let mut command = podman.command(&[name]);
                if name == "run" || name == "create" {
                    // Its own limits are more than a host without CAP_SYS_RESOURCE grants.
                    command.args(["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]);
                }
                command
            }
            Place::Docker(daemon) => tools::docker(daemon.directory(), &[name]),
        }
    }

    /// What it says that it is.
    pub fn version(&self) -> String {
        let program = match &self.place {
            Place::Berth { program, .. } => program.as_path(),
            Place::Podman(_) => Path::new("podman"),
            Place::Docker(_) => Path::new("docker"),
        };
        let output = Command::new(program).arg("--version").output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&text).trim().to_owned()
    }

    /// The program that stands beside each container.
    pub fn beside_each(&self) -> &'static str {
        match &self.place {
            Place::Berth { .. } => "berth-monitor",
            Place::Podman(_) => "conmon",
            Place::Docker(_) => "containerd-shim",
        }
    }
}

/// A program that was built with this one.
pub fn beside(name: &str) -> Result<PathBuf, String> {
    std::env::current_exe().map(|exe| exe.with_file_name(name)).map_err(|error| error.to_string())
}

/// Without a terminal and without output.
pub fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// All engines that are installed and run here; of the others why not.
pub fn all(
    options: &Options,
    directory: &Path,
    dockerd: tools::Start,
) -> Result<(Vec<Engine>, Vec<String>), String> {
    let archive = directory.join("image.tar");
    image(&archive).map_err(|error| format!("make {}: {error}", archive.display()))?;
    let place = |name: &str| directory.join(name);
    let berth = Place::Berth { program: options.berth.clone(), root: place("berth") };
    let mut candidates = vec![Engine { name: "berth", place: berth }];
    let mut failures = Vec::new();
    let wanted =
        |name: &str| options.tools.as_ref().is_none_or(|tools| tools.iter().any(|tool| tool == name));
    if wanted("podman") {
        match tools::has("podman") {
            true => candidates.push(Engine {
                name: "podman",
                place: Place::Podman(Podman::new(place("podman"), directory)),
            }),
            false => failures.push("podman: not installed".to_owned()),
        }
    }
    if wanted("docker") {
        let mut daemon = Daemon::new(place("docker"), dockerd);
        match daemon.restart() {
            Ok(()) => candidates.push(Engine { name: "docker", place: Place::Docker(daemon) }),
            Err(problem) => failures.push(format!("docker: {problem}")),
        }
    }
    let mut engines = Vec::new();
    for engine in candidates {
        let mut load = engine.command("load");
        if let Place::Podman(podman) = &engine.place {
            load.arg("--signature-policy").arg(podman.policy());
        }
        match load.arg("-i").arg(&archive).stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => engines.push(engine),
            Ok(output) => failures.push(format!(
                "{}: load: {}",
                engine.name,
                String::from_utf8_lossy(&output.stderr).trim_end()
            )),
            Err(error) => failures.push(format!("{}: {error}", engine.name)),
        }
    }
    Ok((engines, failures))
}

/// An archive as `docker save` makes it: a program that does nothing, and busybox.
fn image(path: &Path) -> io::Result<()> {
    let mut layer = Writer::new(Vec::new());
    let nothing = beside("nothing").map_err(io::Error::other)?;
    for directory in ["bin", "out", "tmp", "etc"] {
        layer.entry(&entry(directory, Kind::Directory, 0))?;
    }
    for (name, program) in [("nothing", nothing.as_path()), ("bin/busybox", Path::new("/bin/busybox"))] {
        let content = fs::read(program)?;
        layer.entry(&entry(name, Kind::File, content.len() as u64))?;
        layer.content(&content)?;
    }
    let layer = layer.finish()?;
    let config = json!({
        "architecture": oci::image::Platform::host().architecture,
        "os": "linux",
        "config": { "Cmd": ["/nothing"] },
        "rootfs": { "type": "layers", "diff_ids": [Digest::sha256(&layer).to_string()] },
    })
    .to_string();
    let manifest =
        json!([{ "Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"] }]).to_string();
    let mut archive = Writer::new(BufWriter::new(File::create(path)?));
    let files = [
        ("layer.tar", &layer[..]),
        ("config.json", config.as_bytes()),
        ("manifest.json", manifest.as_bytes()),
    ];
    for (name, content) in files {
        archive.entry(&entry(name, Kind::File, content.len() as u64))?;
        archive.content(content)?;
    }
    archive.finish()?.flush()
}

fn entry(path: &str, kind: Kind, size: u64) -> Entry {
    Entry { kind, mode: 0o755, ..data::entry(path.as_bytes(), size) }
}
