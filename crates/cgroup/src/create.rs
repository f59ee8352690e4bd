//! Making a group with its limits, all or nothing, and changing them.

use oci::spec::resources::LinuxResources;

use crate::group::Group;
use crate::limits::{self, Dirs};
use crate::node::{Made, Node};
use crate::systemd::Unit;
use crate::{Controller, Error, devices, process};

impl Group {
    /// Makes the group in every hierarchy and sets `resources`, all before a process joins. With `pid`, that
    /// process joins as the last step (systemd demands one); without, join by
    /// [`clone_target`](Self::clone_target) and [`join_files`](Self::join_files).
    ///
    /// Devices are always restricted to what `resources` allows: pass its rules through
    /// [`with_default_devices`](crate::with_default_devices).
    ///
    /// On an error nothing is left behind. A group that exists already is taken over if it is empty. Where
    /// the container is rootless and has neither limits nor a path of its own, hierarchies without
    /// permission are left out.
    pub fn create(&mut self, resources: Option<&LinuxResources>, pid: Option<u32>) -> Result<(), Error> {
        let none = LinuxResources::default();
        let resources = resources.unwrap_or(&none);
        limits::check(resources, self.is_unified())?;
        if let Some(unit) = &self.unit {
            let policy = devices::Policy::new(&resources.devices)?;
            unit.start(pid, resources, &policy, self.is_unified())?;
        }
        let mut made = Made::default();
        let done = self.try_create(resources, pid, &mut made);
        if done.is_err() {
            made.undo(0);
            // The first error is the one to tell.
            let _ = self.unit.as_ref().map(Unit::stop);
        }
        done
    }

    /// Changes the limits of an existing group: an update. Absent limits stay as they are, and so do devices
    /// if there are no rules.
    pub fn apply(&self, resources: &LinuxResources) -> Result<(), Error> {
        limits::check(resources, self.is_unified())?;
        let dirs = self.open()?;
        limits::check_usage(resources, &dirs)?;
        self.tell_systemd(resources)?;
        limits::set(resources, &dirs)?;
        if resources.devices.is_empty() { Ok(()) } else { self.set_devices(resources, &dirs, false) }
    }

    /// systemd writes all settings of the unit again when one changes. In v1 that means to deny all devices
    /// for a moment: nobody may be running then.
    fn tell_systemd(&self, resources: &LinuxResources) -> Result<(), Error> {
        let Some(unit) = &self.unit else { return Ok(()) };
        if self.is_unified() || self.is_frozen()? {
            return unit.set(resources, self.is_unified());
        }
        self.freeze()?;
        let done = unit.set(resources, false);
        self.thaw()?;
        done
    }

    fn try_create(
        &mut self,
        resources: &LinuxResources,
        pid: Option<u32>,
        made: &mut Made,
    ) -> Result<(), Error> {
        let dirs = self.make(resources, made)?;
        let new = self.nodes().all(|node| made.contains(node));
        if !new && self.unit.is_none() {
            self.refuse_used(made)?;
        }
        limits::set(resources, &dirs)?;
        // One that was there may have a filter: systemd's, or that of a container which has ended.
        self.set_devices(resources, &dirs, new)?;
        match pid {
            // systemd has moved the process in v2; in v1 only where it knows the controller.
            Some(pid) if self.unit.is_none() || !self.is_unified() => process::join(&dirs, pid),
            _ => Ok(()),
        }
    }

    fn make(&mut self, resources: &LinuxResources, made: &mut Made) -> Result<Dirs, Error> {
        let forgiving = self.rootless && !self.explicit;
        let mut legacy = Vec::new();
        let mut nodes = Vec::new();
        for node in std::mem::take(&mut self.legacy) {
            let before = made.count();
            match node.make(made) {
                Ok(dir) => {
                    legacy.push((node.controllers.clone(), dir));
                    nodes.push(node);
                }
                Err(e) if node.is_optional() || (forgiving && e.is_permission()) => made.undo(before),
                Err(e) => return Err(e),
            }
        }
        self.legacy = nodes;
        let Some(node) = self.unified.take() else { return Ok(Dirs { legacy, unified: None }) };
        let before = made.count();
        let unified = match make_unified(&node, legacy.is_empty(), made) {
            Ok(dir) => Some(dir),
            // Beside v1 it only keeps the container's processes together.
            Err(_) if !legacy.is_empty() => {
                made.undo(before);
                None
            }
            Err(e) if forgiving && e.is_permission() => {
                if !limits::v2::writes(resources, |_| None)?.is_empty() {
                    return Err(Error::Rootless(Box::new(e)));
                }
                made.undo(before);
                None
            }
            Err(e) => return Err(e),
        };
        self.unified = unified.is_some().then_some(node);
        Ok(Dirs { legacy, unified })
    }

    /// A group that was there before may be somebody else's.
    fn refuse_used(&self, made: &Made) -> Result<(), Error> {
        let path = self.nodes().find(|node| !made.contains(node)).map(Node::dir).unwrap_or_default();
        let pids = self.pids()?;
        if !pids.is_empty() {
            return Err(Error::NotEmpty { path, pids });
        }
        if self.is_frozen()? {
            return Err(Error::Frozen(path));
        }
        Ok(())
    }

    /// Whoever is not root of the host can restrict devices neither in v1 nor by a BPF program, and needs no
    /// restriction: it could not make the device nodes.
    fn set_devices(&self, resources: &LinuxResources, dirs: &Dirs, new: bool) -> Result<(), Error> {
        if self.rootless {
            return Ok(());
        }
        let policy = devices::Policy::new(&resources.devices)?;
        let done = match &dirs.unified {
            Some(dir) if dirs.legacy.is_empty() => {
                let attach = if new { devices::attach } else { devices::replace };
                attach(&policy, dir).map_err(|e| Error::io("set the device filter of", dir.path(), e))
            }
            _ => {
                let write = if new { devices::write } else { devices::rewrite };
                write(&policy, dirs.of(Controller::Devices)?)
            }
        };
        match done {
            Err(e) if e.is_permission() && sys::process::in_user_namespace() => Ok(()),
            done => done,
        }
    }
}

fn make_unified(node: &Node, controls: bool, made: &mut Made) -> Result<crate::dir::Dir, Error> {
    let dir = node.make(made)?;
    if controls {
        node.enable_controllers(&dir)?;
    }
    Ok(dir)
}
