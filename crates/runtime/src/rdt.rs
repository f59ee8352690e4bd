//! `linux.intelRdt`: shares of cache and memory bandwidth, by the resctrl file system (config-linux.md, *IntelRdt*;
//! Documentation/filesystems/resctrl.rst in the kernel).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use oci::spec::IntelRdt;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, OrFail, Result};

/// Where it is mounted by custom.
const MOUNT_POINT: &str = "/sys/fs/resctrl";
/// statfs(2)'s type of it (RDTGROUP_SUPER_MAGIC in include/uapi/linux/magic.h).
const MAGIC: u64 = 0x0765_5821;
/// Directories that the kernel makes, so no group can have their names.
const RESERVED: [&str; 5] = [".", "..", "info", "mon_data", "mon_groups"];

/// A container's class of service, and its monitoring group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rdt {
    /// Where resctrl is mounted.
    mount: PathBuf,
    /// The class of service: a directory in it, or itself.
    group: PathBuf,
    /// Lines for `schemata`; none where the class stays as it is.
    schemata: Vec<String>,
    /// Whether the class is this container's alone: made and removed with it.
    own: bool,
    /// Its monitoring group.
    monitor: Option<PathBuf>,
}

impl Rdt {
    /// Plans the class of the container `id`; changes nothing.
    ///
    /// # Errors
    /// Where the host has no resctrl, or not the part of it that is asked for.
    pub fn plan(id: &str, wanted: &IntelRdt) -> Result<Self> {
        Self::plan_in(&mount_point()?, id, wanted)
    }

    fn plan_in(mount: &Path, id: &str, wanted: &IntelRdt) -> Result<Self> {
        let own = wanted.clos_id.is_empty();
        let (name, at) = if own { (id, "id") } else { (&*wanted.clos_id, "linux.intelRdt.closID") };
        if name != "/" && (name.contains('/') || RESERVED.contains(&name)) {
            return Err(Failure::because(
                "use",
                at,
                format!("{name:?} can't be the name of a resctrl group"),
            ));
        }
        require(mount, &["L3", "L3CODE"], &wanted.l3_cache_schema, "l3CacheSchema", "CAT")?;
        require(mount, &["MB"], &wanted.mem_bw_schema, "memBwSchema", "MBA")?;
        // The order is the specification's.
        let lines = [&wanted.l3_cache_schema, &wanted.mem_bw_schema].into_iter().chain(&wanted.schemata);
        let schemata: Vec<String> = lines.filter(|line| !line.is_empty()).cloned().collect();
        if let Some(line) = schemata.iter().find(|line| line.contains('\n')) {
            return Err(Failure::because(
                "use",
                "linux.intelRdt",
                format!("schema {line:?} has more than one line"),
            ));
        }
        let group = if name == "/" { mount.to_owned() } else { mount.join(name) };
        if !own && schemata.is_empty() && !group.is_dir() {
            let detail = "it must be there before where schemata, l3CacheSchema and memBwSchema are empty";
            return Err(
                Failure::new("open clos directory", group.display(), rustix::io::Errno::NOENT).hint(detail)
            );
        }
        let monitor = wanted.enable_monitoring.then(|| group.join("mon_groups").join(id));
        Ok(Self { mount: mount.to_owned(), group, schemata, own, monitor })
    }

    /// Makes the groups; on failure takes back what it made.
    ///
    /// # Errors
    /// Where the kernel refuses, or the class is there already and is another than the one that is wanted.
    pub fn create(&self) -> Result<()> {
        let made = self.make(&self.group)?;
        let rest = if made || self.own { self.write_schemata() } else { self.compare() };
        let rest =
            rest.and_then(|()| self.monitor.as_deref().map_or(Ok(false), |monitor| self.make(monitor)));
        if rest.is_err() && made {
            // The first failure says more than one of its removal.
            let _ = fs::remove_dir(&self.group);
        }
        rest.map(drop)
    }

    /// Puts a process, and what it starts from then on, into the groups.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn attach(&self, pid: Pid) -> Result<()> {
        // The class first: a monitoring group takes only members of its class.
        for group in [Some(&self.group), self.monitor.as_ref()].into_iter().flatten() {
            let tasks = group.join("tasks");
            fs::write(&tasks, pid.to_string()).map_err(|error| self.refused("write", &tasks, error))?;
        }
        Ok(())
    }

    /// Changes the class' share of L3 cache and memory bandwidth.
    ///
    /// # Errors
    /// Where the kernel refuses a schema.
    pub fn update(&self, l3_cache: Option<&str>, memory_bandwidth: Option<&str>) -> Result<()> {
        let path = self.group.join("schemata");
        let schemata: String =
            l3_cache.into_iter().chain(memory_bandwidth).flat_map(|line| [line, "\n"]).collect();
        fs::write(&path, schemata).map_err(|error| self.refused("write", &path, error))
    }

    /// Removes the container's own groups. The kernel gives members back to the parent group.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn remove(&self) -> Result<()> {
        let own = self.own.then_some(&self.group);
        for group in self.monitor.iter().chain(own) {
            match fs::remove_dir(group) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => other.or_fail_at("remove resctrl group", group)?,
            }
        }
        Ok(())
    }

    /// Whether the group was not there before.
    fn make(&self, group: &Path) -> Result<bool> {
        match fs::create_dir(group) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(self.refused("make resctrl group", group, error)),
        }
    }

    fn write_schemata(&self) -> Result<()> {
        if self.schemata.is_empty() {
            return Ok(());
        }
        let path = self.group.join("schemata");
        let text: String = self.schemata.iter().flat_map(|line| [line, "\n"]).collect();
        fs::write(&path, text).map_err(|error| self.refused("write", &path, error))
    }

    /// A class that others may be in is not changed: it must be what is wanted.
    fn compare(&self) -> Result<()> {
        let path = self.group.join("schemata");
        let text = fs::read_to_string(&path).or_fail_at("read", &path)?;
        let found: BTreeMap<_, _> = text.lines().flat_map(shares).collect();
        let agrees =
            |(key, wanted): (Key<'_>, &str)| found.get(&key).is_some_and(|has| self.same(key, has, wanted));
        match self.schemata.iter().find(|line| !shares(line).all(agrees)) {
            None => Ok(()),
            Some(line) => {
                let detail =
                    format!("the class of service is there already, and is not {line:?}: {:?}", text.trim());
                Err(Failure::because("use", path.display(), detail))
            }
        }
    }

    /// Whether a share that was asked for is stored as `has`: bandwidth is rounded up to the next step (bw_validate in
    /// fs/resctrl/ctrlmondata.c).
    fn same(&self, (resource, _): Key<'_>, has: &str, wanted: &str) -> bool {
        let plain = |text: &str| text.trim_start_matches('0').to_ascii_lowercase();
        if plain(has) == plain(wanted) {
            return true;
        }
        let number =
            |file: &str| fs::read_to_string(self.mount.join("info/MB").join(file)).ok()?.trim().parse().ok();
        let step = number("bandwidth_gran").unwrap_or(1_u64).max(1);
        let least = number("min_bandwidth").unwrap_or(0);
        let stored =
            wanted.parse().ok().and_then(|wanted: u64| wanted.max(least).checked_next_multiple_of(step));
        resource == "MB" && stored.is_some() && stored == has.parse().ok()
    }

    /// The kernel says in a file of its own why it refused.
    fn refused(&self, operation: &str, path: &Path, error: io::Error) -> Failure {
        let failure = Failure::new(operation, path.display(), error);
        match fs::read_to_string(self.mount.join("info/last_cmd_status")) {
            Ok(status) if !matches!(status.trim(), "" | "ok") => failure.hint(status.trim()),
            _ => failure,
        }
    }
}

/// Of what, and for which cache.
type Key<'a> = (&'a str, &'a str);

/// The shares of a line like `L3:0=7f0;1=1f`.
fn shares(line: &str) -> impl Iterator<Item = (Key<'_>, &str)> {
    let (resource, list) = line.split_once(':').unwrap_or((line, ""));
    list.split(';').filter_map(move |share| {
        let (domain, value) = share.split_once('=')?;
        Some(((resource.trim(), domain.trim()), value.trim()))
    })
}

/// A schema needs one of the directories in which the kernel tells what it can share.
fn require(mount: &Path, any: &[&str], schema: &str, field: &str, feature: &str) -> Result<()> {
    if schema.is_empty() || any.iter().any(|name| mount.join("info").join(name).is_dir()) {
        return Ok(());
    }
    let at = format!("linux.intelRdt.{field}");
    Err(Failure::because(
        "use",
        at,
        format!("it is specified in config, but Intel RDT/{feature} is not enabled"),
    ))
}

fn mount_point() -> Result<PathBuf> {
    if rustix::fs::statfs(MOUNT_POINT).is_ok_and(|found| found.f_type as u64 == MAGIC) {
        return Ok(MOUNT_POINT.into());
    }
    let table = fs::read_to_string("/proc/self/mountinfo").or_fail("read", "/proc/self/mountinfo")?;
    if let Some(point) = table.lines().find_map(resctrl_mount) {
        return Ok(point);
    }
    let known = fs::read_to_string("/proc/filesystems").or_fail("read", "/proc/filesystems")?;
    let missing = if known.lines().any(|line| line.ends_with("\tresctrl")) {
        "resctrl is not mounted: mount -t resctrl resctrl /sys/fs/resctrl"
    } else {
        "this kernel has no resctrl file system, or the processor no Resource Director Technology"
    };
    let detail = format!("intelRdt is specified in config, but Intel RDT is not enabled: {missing}");
    Err(Failure::because("use", "linux.intelRdt", detail))
}

/// The mount point of a line of mountinfo (proc(5)) that is a resctrl: the type follows the dash.
fn resctrl_mount(line: &str) -> Option<PathBuf> {
    let (mount, source) = line.split_once(" - ")?;
    source.starts_with("resctrl ").then(|| mount.split(' ').nth(4).map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory tree like the file system; but a new group's files are not there by themselves.
    struct Resctrl(PathBuf);

    impl Resctrl {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("berth-rdt-{name}-{}", std::process::id()));
            for dir in ["info/L3", "info/MB", "mon_groups", "shared/mon_groups"] {
                fs::create_dir_all(path.join(dir)).unwrap();
            }
            for (file, text) in [
                ("info/last_cmd_status", "ok\n"),
                ("info/MB/bandwidth_gran", "10\n"),
                ("info/MB/min_bandwidth", "10\n"),
                ("shared/schemata", "    L3:0=07f0;1=1f\n    MB:0= 30;1=100\n"),
            ] {
                fs::write(path.join(file), text).unwrap();
            }
            Self(path)
        }

        fn plan(&self, wanted: &IntelRdt) -> Result<Rdt> {
            Rdt::plan_in(&self.0, "c1", wanted)
        }

        fn read(&self, file: &str) -> String {
            fs::read_to_string(self.0.join(file)).unwrap()
        }
    }

    impl Drop for Resctrl {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn class(clos_id: &str, schemata: &[&str]) -> IntelRdt {
        let schemata = schemata.iter().map(ToString::to_string).collect();
        IntelRdt { clos_id: clos_id.into(), schemata, ..IntelRdt::default() }
    }

    #[test]
    fn a_class_of_its_own_is_made_and_removed() {
        let host = Resctrl::new("own");
        let wanted = IntelRdt {
            l3_cache_schema: "L3:0=f".into(),
            mem_bw_schema: "MB:0=20".into(),
            ..class("", &["L2:0=1"])
        };
        let rdt = host.plan(&wanted).unwrap();
        rdt.create().unwrap();
        rdt.attach(Pid::from_raw(77).unwrap()).unwrap();
        assert_eq!(host.read("c1/schemata"), "L3:0=f\nMB:0=20\nL2:0=1\n");
        assert_eq!(host.read("c1/tasks"), "77");
        let text = serde_json::to_string(&rdt).unwrap();
        let rdt: Rdt = serde_json::from_str(&text).unwrap();
        // The kernel's files vanish with their directory; these don't.
        for file in ["schemata", "tasks"] {
            fs::remove_file(host.0.join("c1").join(file)).unwrap();
        }
        rdt.remove().unwrap();
        assert!(!host.0.join("c1").exists());
        rdt.remove().unwrap();
    }

    #[test]
    fn a_shared_class_stays_but_its_monitoring_group_goes() {
        let host = Resctrl::new("shared");
        let rdt = host.plan(&IntelRdt { enable_monitoring: true, ..class("shared", &[]) }).unwrap();
        rdt.create().unwrap();
        rdt.attach(Pid::from_raw(5).unwrap()).unwrap();
        assert_eq!(host.read("shared/mon_groups/c1/tasks"), "5");
        assert_eq!(host.read("shared/tasks"), "5");
        fs::remove_file(host.0.join("shared/mon_groups/c1/tasks")).unwrap();
        rdt.remove().unwrap();
        assert!(!host.0.join("shared/mon_groups/c1").exists() && host.0.join("shared").exists());
    }

    #[test]
    fn a_class_that_is_there_must_be_what_is_wanted() {
        let host = Resctrl::new("compare");
        let before = host.read("shared/schemata");
        // As the kernel stores it: zeros in front, bandwidth in steps, other order.
        host.plan(&class("shared", &["MB:1=100;0=25", "L3:0=7F0"])).unwrap().create().unwrap();
        for wrong in ["L3:0=ff", "L3:2=1f", "MB:0=45", "L2:0=1"] {
            let failure = host.plan(&class("shared", &[wrong])).unwrap().create().unwrap_err().to_string();
            assert!(failure.contains("shared/schemata") && failure.contains(wrong), "{failure}");
        }
        assert_eq!(host.read("shared/schemata"), before);
    }

    #[test]
    fn a_class_without_schemata_must_be_there() {
        let host = Resctrl::new("absent");
        let failure = host.plan(&class("absent", &[])).unwrap_err().to_string();
        assert!(failure.contains("clos dir") && failure.contains("absent"), "{failure}");
        assert_eq!(host.plan(&class("/", &[])).unwrap().group, host.0);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let host = Resctrl::new("names");
        for name in ["..", ".", "a/b", "../x", "info", "mon_groups"] {
            assert!(host.plan(&class(name, &["L3:0=1"])).is_err(), "{name}");
        }
        assert!(host.plan(&class("g", &["L3:0=1\nMB:0=1"])).is_err());
    }

    #[test]
    fn what_the_host_lacks_is_named() {
        let host = Resctrl::new("lacks");
        fs::remove_dir(host.0.join("info/L3")).unwrap();
        let wanted = IntelRdt { l3_cache_schema: "L3:0=1".into(), ..IntelRdt::default() };
        assert!(host.plan(&wanted).unwrap_err().to_string().contains("RDT/CAT"));
    }

    #[test]
    fn what_the_kernel_says_is_told_and_what_was_made_is_removed() {
        let host = Resctrl::new("full");
        fs::write(host.0.join("info/last_cmd_status"), "out of CLOSIDs\n").unwrap();
        let rdt = host.plan(&IntelRdt { enable_monitoring: true, ..class("", &[]) }).unwrap();
        // A class without mon_groups, as on a processor that can't monitor.
        let failure = rdt.create().unwrap_err().to_string();
        assert!(failure.contains("mon_groups/c1") && failure.ends_with("out of CLOSIDs"), "{failure}");
        assert!(!host.0.join("c1").exists());
    }

    #[test]
    fn finds_the_mount_point() {
        let line = "40 25 0:30 / /mnt/rdt rw,nosuid shared:5 - resctrl resctrl rw";
        assert_eq!(resctrl_mount(line), Some("/mnt/rdt".into()));
        assert_eq!(resctrl_mount("40 25 0:30 / /proc rw - proc resctrl rw"), None);
    }
}
