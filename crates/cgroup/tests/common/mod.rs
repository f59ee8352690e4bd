//! Groups and processes that clean up after themselves.
#![allow(dead_code, missing_docs)]

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cgroup::{Driver, Error, Group, Host, with_default_devices};
use oci::spec::resources::LinuxResources;

/// A group below `/berth-test-*`, removed when dropped.
pub struct Scratch(pub Group);

impl Scratch {
    pub fn locate(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self::at(&format!("/berth-test-{}-{number}-{name}", std::process::id()))
    }

    pub fn at(path: &str) -> Self {
        let host = Host::detect().unwrap();
        Self(Group::locate(&host, &Driver::Cgroupfs, Some(path), "id", false).unwrap())
    }

    /// With the standard devices.
    pub fn create(name: &str, resources: &str) -> Result<Self, Error> {
        let mut group = Self::locate(name);
        let resources = parse(resources);
        let devices = with_default_devices(&resources.devices, &[]);
        group.0.create(Some(&LinuxResources { devices, ..resources }), None)?;
        Ok(group)
    }

    /// The directory of a controller; `""` is v2.
    pub fn dir(&self, controller: &str) -> PathBuf {
        self.paths()[controller].clone()
    }

    pub fn read(&self, controller: &str, file: &str) -> String {
        let path = self.dir(controller).join(file);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).trim().to_owned()
    }

    /// No hierarchy has a directory of this group.
    pub fn is_nowhere(&self) -> bool {
        self.paths().values().all(|dir| !dir.exists())
    }
}

impl Deref for Scratch {
    type Target = Group;

    fn deref(&self) -> &Group {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Group {
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.thaw();
        let _ = self.kill_all(rustix::process::Signal::KILL);
        if let Err(e) = self.remove() {
            eprintln!("left behind: {e}");
        }
    }
}

pub fn parse(resources: &str) -> LinuxResources {
    serde_json::from_str(resources).unwrap()
}

/// A process that does nothing for long; reaped when dropped.
pub struct Sleeper(pub Child);

impl Sleeper {
    pub fn start() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    /// A shell that runs `script`.
    pub fn shell(script: &str) -> Self {
        Self(Command::new("sh").arg("-c").arg(script).spawn().unwrap())
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn is_dead(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `condition` holds, at most ten seconds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
