//! The runtime as a library: what a program gets that makes containers in its own process.
//!
//! A process that makes containers must have one thread, so this is its own harness: a test by itself in `main`.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};

use oci::ContainerId;
use oci::spec::{IdMapping, Namespace, Spec};
use runtime::{Bundle, CreateOptions, Created, ExecOptions, Failure, Prepare, StateRoot};
use rustix::fs::CWD;
use rustix::mount::OpenTreeFlags;
use rustix::process::{WaitId, WaitIdOptions};
use testkit::Testbed;

const TESTS: [(&str, fn()); 4] = [
    ("a_detached_root_is_seen_by_the_container_alone", a_detached_root_is_seen_by_the_container_alone),
    ("a_user_namespace_needs_no_way_to_its_root", a_user_namespace_needs_no_way_to_its_root),
    (
        "preparation_comes_before_the_program_and_undoes_it",
        preparation_comes_before_the_program_and_undoes_it,
    ),
    ("exec_leaves_its_caller_as_it_was", exec_leaves_its_caller_as_it_was),
];

/// As much of the harness' command line as cargo and nextest use.
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    if has("--list") {
        if !has("--ignored") {
            TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return;
    }
    let filter = args.iter().find(|arg| !arg.starts_with('-'));
    let wanted = |name: &str| {
        filter
            .is_none_or(|filter| if has("--exact") { name == filter } else { name.contains(filter.as_str()) })
    };
    for (name, test) in TESTS.into_iter().filter(|(name, _)| wanted(name)) {
        test();
        println!("{name}: ok");
    }
}

/// A bed with a root file system that is mounted nowhere yet, and an empty directory where it is to be.
struct Ground {
    bed: Testbed,
    bundle: testkit::Bundle,
    id: ContainerId,
}

impl Ground {
    fn new(script: &str) -> Self {
        let bed = Testbed::new();
        let mut bundle = bed.bundle();
        bundle.edit(|spec| spec["root"]["path"] = "closed/root".into());
        bundle.script(script);
        fs::DirBuilder::new().mode(0o700).create(bundle.path().join("closed")).unwrap();
        fs::create_dir(bundle.path().join("closed/root")).unwrap();
        let id = ContainerId::new(bed.id()).unwrap();
        Self { bed, bundle, id }
    }

    fn spec(&self) -> Spec {
        serde_json::from_value(self.bundle.spec().clone()).unwrap()
    }

    fn root(&self) -> StateRoot {
        StateRoot::new(self.bed.state_dir())
    }

    fn rootfs(&self) -> OwnedFd {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        rustix::mount::open_tree(CWD, self.bundle.rootfs(), flags).unwrap()
    }

    fn create(&self, spec: Spec, options: CreateOptions<'_>) -> Result<Created, Failure> {
        let bundle = Bundle::new(self.bundle.path(), spec)?;
        let rootfs = Some(self.rootfs());
        runtime::create(&self.root(), &self.id, bundle, CreateOptions { start: true, rootfs, ..options })
    }
}

/// Descriptors to give away, and what is written into them.
fn stdio() -> ([OwnedFd; 3], OwnedFd) {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    ([null.into(), write.try_clone().unwrap(), write], read)
}

fn output(pipe: OwnedFd) -> String {
    let mut text = String::new();
    fs::File::from(pipe).read_to_string(&mut text).unwrap();
    text
}

fn wait(pidfd: &OwnedFd) -> Option<i32> {
    let wait = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    wait.unwrap().and_then(|status| status.exit_status())
}

fn a_detached_root_is_seen_by_the_container_alone() {
    let ground = Ground::new("ls -d /bin; sleep 0.2; echo end >&2");
    let (stdio, pipe) = stdio();
    let options = CreateOptions { stdio: Some(stdio), ..CreateOptions::default() };
    let created = ground.create(ground.spec(), options).unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(ground.bed.name()), "{mounts}");
    let inside = fs::read_to_string(format!("/proc/{}/mountinfo", created.pid)).unwrap();
    assert!(!inside.contains("closed/root"), "{inside}");
    assert_eq!(output(pipe), "/bin\nend\n");
    assert_eq!(wait(&created.pidfd), Some(0));
    assert_eq!(created.container.oom_kills().unwrap(), 0);
    created.container.delete(false).unwrap();
    assert_eq!(fs::read_dir(ground.bundle.path().join("closed/root")).unwrap().count(), 0);
}

fn a_user_namespace_needs_no_way_to_its_root() {
    let ground = Ground::new("ls -d /bin; id -u; cat /dev/null; cat /proc/self/uid_map");
    let mut spec = ground.spec();
    let linux = spec.linux.as_mut().unwrap();
    linux.namespaces.push(Namespace { kind: "user".into(), path: String::new() });
    let map = vec![IdMapping { container_id: 0, host_id: 100_000, size: 65_536 }];
    (linux.uid_mappings, linux.gid_mappings) = (map.clone(), map);
    let (stdio, pipe) = stdio();
    let created = ground.create(spec, CreateOptions { stdio: Some(stdio), ..CreateOptions::default() });
    let created = created.unwrap();
    assert_eq!(wait(&created.pidfd), Some(0));
    let words = output(pipe);
    assert_eq!(words.split_whitespace().collect::<Vec<_>>(), ["/bin", "0", "0", "100000", "65536"]);
    created.container.delete(false).unwrap();
}

fn preparation_comes_before_the_program_and_undoes_it() {
    let ground = Ground::new("readlink /proc/self/ns/net");
    let (stdio, pipe) = stdio();
    let mut network = 0;
    let prepare = Prepare::new(|born| {
        network = fs::File::from(born.network_namespace()?).metadata().unwrap().ino();
        Ok(())
    });
    let options = CreateOptions { stdio: Some(stdio), prepare: Some(prepare), ..CreateOptions::default() };
    let created = ground.create(ground.spec(), options).unwrap();
    wait(&created.pidfd);
    created.container.delete(false).unwrap();
    assert_eq!(output(pipe), format!("net:[{network}]\n"));
    assert_ne!(network, fs::metadata("/proc/self/ns/net").unwrap().ino());

    let prepare = Prepare::new(|_| Err(Failure::because("connect", "the network", "it is only a test")));
    let options = CreateOptions { prepare: Some(prepare), ..CreateOptions::default() };
    let failure = ground.create(ground.spec(), options).unwrap_err();
    assert!(failure.to_string().contains("only a test"), "{failure}");
    assert_eq!(fs::read_dir(ground.bed.state_dir()).unwrap().count(), 0);
}

fn exec_leaves_its_caller_as_it_was() {
    let ground = Ground::new("sleep 60");
    let created = ground.create(ground.spec(), CreateOptions::default()).unwrap();
    let (stdio, pipe) = stdio();
    let mut process = ground.spec().process.unwrap();
    process.args = ["sh", "-c", "echo out; echo err >&2; exit 3"].map(Into::into).to_vec();
    let options = ExecOptions { stdio: Some(stdio), ..ExecOptions::default() };
    let executed = created.container.exec(&process, options).unwrap();
    assert_eq!(output(pipe), "out\nerr\n");
    assert_eq!(wait(&executed.pidfd), Some(3));
    let namespace = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    assert_eq!(namespace("pid_for_children"), namespace("pid"));
    created.container.kill(libc::SIGKILL).unwrap();
    wait(&created.pidfd);
    created.container.delete(false).unwrap();
}
