//! The configuration that berth gives a runtime, held against the one that dockerd gives it for the same flags: they are the
//! same, but for what is listed here with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;
use testkit::{Invocation, Testbed, berth_binary};

use crate::dockerd::{Dockerd, docker};
use crate::image;

/// The beginning of a place in the configuration, and why it differs there.
type Difference = (&'static str, &'static str);

/// Differences of every container.
const ALWAYS: &[Difference] = &[
    ("/hooks", "dockerd connects the network in a hook, berth by itself"),
    ("/linux/cgroupsPath", "the parent of control groups is berth's own"),
    ("/linux/maskedPaths", "those of Docker 28, which are more than this dockerd's"),
    ("/linux/seccomp", "this dockerd's profile is older; crates/seccomp compares ours"),
    ("/linux/resources/blockIO/weight", "dockerd writes down what is not asked for"),
    ("/linux/resources/cpu/shares", "dockerd writes down what is not asked for"),
    ("/linux/resources/memory/disableOOMKiller", "dockerd writes down what is not asked for"),
    ("/mounts[/etc/hostname]/source", "files are kept elsewhere"),
    ("/mounts[/etc/hosts]/source", "files are kept elsewhere"),
    ("/mounts[/etc/resolv.conf]/source", "files are kept elsewhere"),
    ("/ociVersion", "ours is newer"),
    ("/process/env[HOME]", "runc adds HOME by itself"),
    ("/root/path", "the root is a detached mount with a place of its own"),
];

/// Capabilities that this dockerd does not know.
const NEW_CAPABILITIES: [Difference; 3] = [
    ("/process/capabilities[CAP_BPF]", "newer than this dockerd"),
    ("/process/capabilities[CAP_CHECKPOINT_RESTORE]", "newer than this dockerd"),
    ("/process/capabilities[CAP_PERFMON]", "newer than this dockerd"),
];

/// Flags, with `SRC` for a directory of the host and `PARENT` for a control group, and the differences that come with them.
const ROWS: &[(&[&str], &[Difference])] = &[
    (&[], &[]),
    (&["-m", "64m", "--memory-swap", "128m", "--memory-reservation", "32m", "--pids-limit", "50"], &[]),
    (&["--cpus", "0.5", "--cpu-shares", "512", "--cpuset-cpus", "0", "--memory-swappiness", "10"], &[]),
    (&["--cpu-period", "50000", "--cpu-quota", "25000", "--cpuset-mems", "0"], &[]),
    (
        &["--privileged"],
        &[
            NEW_CAPABILITIES[0],
            NEW_CAPABILITIES[1],
            NEW_CAPABILITIES[2],
            ("/mounts[/sys]/options", "what is said by no option is said by rw, as in Docker 28"),
            ("/mounts[/sys/fs/cgroup]/options", "what is said by no option is said by rw, as in Docker 28"),
        ],
    ),
    (&["--cap-add", "NET_ADMIN", "--cap-drop", "CHOWN", "--security-opt", "no-new-privileges"], &[]),
    (&["--cap-add", "ALL", "--cap-drop", "SYS_ADMIN"], &NEW_CAPABILITIES),
    (&["--cap-drop", "ALL", "--security-opt", "seccomp=unconfined"], &[]),
    (&["--security-opt", "systempaths=unconfined", "--security-opt", "apparmor=unconfined"], &[]),
    (&["-u", "1000:50", "--group-add", "7", "-w", "/tmp", "-e", "A=b", "-e", "PATH"], &[]),
    (
        &["--hostname", "box", "--domainname", "example"],
        &[
            ("/domainname", "the specification has a field for it now"),
            ("/linux/sysctl/kernel.domainname", "the specification has a field for it now"),
        ],
    ),
    (
        &["--read-only", "--tmpfs", "/scratch:size=1m,mode=700", "-v", "SRC:/src:ro"],
        &[("/mounts[/src]/options", "read-only means what is mounted below, too, as in Docker 25")],
    ),
    (
        &[
            "--mount",
            "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770",
            "--mount",
            "type=bind,src=SRC,dst=/b",
        ],
        &[("/mounts[/t]/options", "the size is said in bytes")],
    ),
    (&["-v", "SRC:/src:rw,z", "-v", "SRC:/private:private"], &[]),
    (&["-t", "-i"], &[]),
    (&["--device", "/dev/null:/dev/nothing:r", "--device-cgroup-rule", "c 1:3 r"], &[]),
    (&["--pid", "host", "--ipc", "host", "--uts", "host"], &[]),
    (&["--ipc", "none"], &[]),
    (
        &["--ipc", "shareable", "--cgroupns", "private"],
        &[("/mounts[/dev/shm]", "who shares it opens it in the container, so it needs no place on the host")],
    ),
    (&["--sysctl", "net.ipv4.ip_forward=1", "--ulimit", "nofile=100:200", "--shm-size", "1m"], &[]),
    (&["--oom-score-adj", "100", "--oom-kill-disable", "-m", "64m"], &[]),
    (&["--device-read-bps", "/dev/loop0:1m", "--device-write-iops", "/dev/loop0:10"], &[]),
    (&["--label", "c=d", "--stop-signal", "INT", "--restart", "always", "--log-driver", "none"], &[]),
    (
        &["--init", "--cgroup-parent", "/PARENT"],
        &[("/mounts[/sbin/docker-init]/source", "the init is built in, and each container has a copy")],
    ),
];

/// A runtime that keeps the configuration and makes no container.
fn recorder(bed: &Testbed) -> (PathBuf, PathBuf) {
    let (script, record) = (bed.path().join("recorder"), bed.path().join("recorded.json"));
    let text = format!(
        "#!/bin/sh\nfor word; do\n    [ \"$before\" = --bundle ] && cp \"$word/config.json\" {}\n    \
         before=$word\ndone\nexit 1\n",
        record.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    (script, record)
}

/// Places and values. What is in a list is known by its destination, path, type or name, where it has one.
fn flatten(place: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| flatten(&format!("{place}/{name}"), value, into));
        }
        Value::Array(items) if place.ends_with("/env") => {
            for item in items {
                let text = item.as_str().unwrap_or_default();
                let name = text.split('=').next().unwrap_or_default();
                into.insert(format!("{place}[{name}]"), text.to_owned());
            }
        }
        Value::Array(items) if place.starts_with("/process/capabilities/") => {
            // Some machines have CAP_SYS_RESOURCE, and berth gives what there is.
            let names = items.iter().filter_map(Value::as_str).filter(|name| *name != "CAP_SYS_RESOURCE");
            let set = place.trim_start_matches("/process/capabilities");
            into.extend(names.map(|name| (format!("/process/capabilities[{name}]{set}"), name.to_owned())));
        }
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let mut words: Vec<String> = items.iter().map(ToString::to_string).collect();
            if !place.ends_with("/args") {
                words.sort();
            }
            into.insert(place.to_owned(), words.join(" "));
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                let name = ["destination", "path"].iter().find_map(|name| item.get(name)?.as_str());
                let name = name.map_or_else(|| number.to_string(), str::to_owned);
                flatten(&format!("{place}[{name}]"), item, into);
            }
        }
        other => drop(into.insert(place.to_owned(), other.to_string())),
    }
}

/// A configuration without what differs from one container to the next.
fn places(text: &str, id: &str) -> BTreeMap<String, String> {
    let text = text.replace(id, "ID").replace(&id[..12], "ID");
    let mut places = BTreeMap::new();
    flatten("", &serde_json::from_str(&text).expect("a configuration is JSON"), &mut places);
    places
}

/// Where the two differ.
fn differing(theirs: &BTreeMap<String, String>, ours: &BTreeMap<String, String>) -> BTreeSet<String> {
    let all = theirs.keys().chain(ours.keys());
    all.filter(|place| theirs.get(*place) != ours.get(*place)).cloned().collect()
}

fn of_dockerd(
    bed: &Testbed,
    dockerd: &Dockerd<'_>,
    flags: &[String],
    record: &PathBuf,
) -> BTreeMap<String, String> {
    let create = ["create", "--network=none"].map(str::to_owned);
    let words: Vec<&str> = create.iter().chain(flags).map(String::as_str).collect();
    let id = dockerd.docker(&[&words[..], &[image::NAME, "sleep", "1000"]].concat());
    let id = id.trim();
    // The recorder fails after it has recorded.
    drop(docker(bed, &["start", id]).output());
    let text = fs::read_to_string(record).unwrap_or_else(|error| panic!("{flags:?}: {error}"));
    fs::remove_file(record).unwrap();
    dockerd.docker(&["rm", "--force", id]);
    places(&text, id)
}

fn of_berth(bed: &Testbed, flags: &[String]) -> BTreeMap<String, String> {
    let root = bed.path().join("berth");
    let berth = |args: &[&str]| {
        let run = Invocation::new(bed, berth_binary()).arg("--root").arg(&root).args(args).output();
        run.expect_success().stdout().trim().to_owned()
    };
    let words: Vec<&str> = flags.iter().map(String::as_str).collect();
    let run = [&["run", "-d", "--network=none"], &words[..], &[image::NAME, "sleep", "1000"]].concat();
    let id = berth(&run);
    let text = fs::read_to_string(root.join("run/oci").join(&id).join("config.json")).unwrap();
    berth(&["rm", "-f", &id]);
    places(&text, &id)
}

#[test]
fn the_configuration_is_dockers_but_for_what_is_listed() {
    let bed = Testbed::new();
    let (script, record) = recorder(&bed);
    let dockerd = Dockerd::with_runtime(&bed, &script);
    let load = Invocation::new(&bed, berth_binary()).arg("--root").arg(bed.path().join("berth"));
    load.args(["load", "-i"]).arg(bed.path().join("image.tar")).output().expect_success();
    let source = bed.path().join("src");
    fs::create_dir(&source).unwrap();

    let mut unseen: BTreeSet<&str> = ALWAYS.iter().map(|(place, _)| *place).collect();
    let mut wrong = Vec::new();
    for (flags, own) in ROWS {
        let flag = |flag: &&str| flag.replace("SRC", source.to_str().unwrap()).replace("PARENT", bed.name());
        let flags: Vec<String> = flags.iter().map(flag).collect();
        let (theirs, ours) = (of_dockerd(&bed, &dockerd, &flags, &record), of_berth(&bed, &flags));
        let mut expected: BTreeSet<&str> = own.iter().map(|(place, _)| *place).collect();
        for place in differing(&theirs, &ours) {
            let is_listed = |(begin, _): &&Difference| place.starts_with(begin);
            match ALWAYS.iter().chain(*own).find(is_listed) {
                Some((begin, _)) => {
                    unseen.remove(begin);
                    expected.remove(begin);
                }
                None => wrong.push(format!(
                    "{flags:?}: {place}: dockerd {:?}, berth {:?}",
                    theirs.get(&place),
                    ours.get(&place)
                )),
            }
        }
        wrong.extend(expected.iter().map(|place| format!("{flags:?}: {place}: listed, and no different")));
    }
    wrong.extend(unseen.iter().map(|place| format!("{place}: listed, and never different")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
