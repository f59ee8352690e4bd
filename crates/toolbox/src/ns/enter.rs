//! `ns enter`: runs a program in namespaces of another process, as nsenter(1) does.
//!
//! Everything is opened before anything is entered: afterwards neither /proc nor the caller's privileges may be
//! there. Then, in this order, because each step can take away what the one before needs:
//! ```text
//! cgroup        while the cgroup file system is still the caller's
//! namespaces    the user namespace first where that gives the right to the others, else last
//! root, wd      the new mount namespace has set both to its own root
//! fork          a pid namespace is for children
//! credentials   in the entered user namespace
//! exec
//! ```

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use namespace::{FileError, Kind, NamespaceFile};
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

use crate::credentials::{self, Credentials, CredentialsError};
use crate::launch::{self, Ending, Environment, ExecError, Side};
use crate::process::{self, ProcessError};

/// Where something of the target is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In /proc of the target process.
    Target,
    /// At this path.
    Path(PathBuf),
}

/// What to enter, and what to run there. The fields are nsenter's options.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Request {
    pub target: Option<Pid>,
    /// Every namespace of the target that is not the caller's already.
    pub all: bool,
    pub namespaces: Vec<(Kind, Source)>,
    pub root: Option<Source>,
    pub working_directory: Option<Source>,
    /// A working directory to look up after everything was entered.
    pub working_directory_inside: Option<PathBuf>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Change neither user nor groups when a user namespace is entered.
    pub preserve_credentials: bool,
    /// Keep the capabilities that a user namespace gives across exec.
    pub keep_capabilities: bool,
    /// Use the target's environment.
    pub environment: bool,
    /// Move into the target's cgroups.
    pub join_cgroup: bool,
    /// Don't fork for a pid namespace.
    pub no_fork: bool,
    /// Start the program with the target's SELinux context.
    pub follow_context: bool,
    pub command: Vec<OsString>,
}

/// Why nothing was run, or not where it should.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum EnterError {
    #[error("no target: --target (-t) is needed for {0}")]
    NoTarget(&'static str),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Namespace(#[from] FileError),
    #[error("open {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{operation}: {source}")]
    Step { operation: String, source: io::Error },
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    // Not transparent: whoever looks for the exit status finds it among the sources.
    #[error("{0}")]
    Exec(#[from] ExecError),
}

/// The order of the first attempt: a user namespace gives the right to enter what it owns.
const ORDER: [Kind; 8] =
    [Kind::User, Kind::Cgroup, Kind::Ipc, Kind::Uts, Kind::Net, Kind::Pid, Kind::Mount, Kind::Time];

/// Everything that entering needs, open.
struct Plan {
    cgroup_files: Vec<PathBuf>,
    namespaces: Vec<NamespaceFile>,
    root: Option<OwnedFd>,
    working_directory: Option<OwnedFd>,
    environment: Option<Environment>,
    context: Option<Vec<u8>>,
}

/// Enters and runs. Returns only what became of a child; without a fork the caller itself becomes the program.
pub fn enter(request: &Request) -> Result<Ending, EnterError> {
    let plan = plan(request)?;
    for file in &plan.cgroup_files {
        std::fs::write(file, rustix::process::getpid().to_string())
            .map_err(|source| step(format!("join the cgroup {}", file.display()), source))?;
    }
    enter_namespaces(&plan.namespaces)?;
    change_directories(&plan, request.working_directory_inside.as_deref())?;

    let entered = |kind| plan.namespaces.iter().any(|file| file.kind() == kind);
    if entered(Kind::Pid)
        && !request.no_fork
        && let Side::Parent(child) = launch::fork().map_err(|source| step("fork".into(), source))?
    {
        return launch::wait(child).map_err(|source| step("wait for the child".into(), source));
    }
    credentials(request, entered(Kind::User)).apply()?;
    if let Some(context) = &plan.context {
        let written = std::fs::write("/proc/thread-self/attr/exec", context);
        written.map_err(|source| step("set the SELinux context".into(), source))?;
    }
    if request.keep_capabilities && entered(Kind::User) {
        credentials::keep_capabilities()?;
    }
    Err(launch::exec(&request.command, plan.environment).into())
}

fn plan(request: &Request) -> Result<Plan, EnterError> {
    let target = |what| request.target.ok_or(EnterError::NoTarget(what));
    let in_proc = |source: &Source, name| -> Result<PathBuf, EnterError> {
        Ok(match source {
            Source::Path(path) => path.clone(),
            Source::Target => PathBuf::from(format!("/proc/{}/{name}", target(name)?)),
        })
    };
    let directory = |source: &Option<Source>, name| {
        source.as_ref().map(|source| open_directory(&in_proc(source, name)?)).transpose()
    };
    if let Some(pid) = request.target {
        // A target that is gone is said to be gone, rather than a file in /proc to be missing.
        process::read_file(pid, "comm")?;
    }
    let cgroup_files = if request.join_cgroup { cgroup_files(target("--join-cgroup")?)? } else { Vec::new() };
    let environment = if request.environment {
        Some(environment_of(&process::read_file(target("--env")?, "environ")?))
    } else {
        None
    };
    let context = if request.follow_context {
        Some(process::read_file(target("--follow-context")?, "attr/current")?)
    } else {
        None
    };
    Ok(Plan {
        cgroup_files,
        namespaces: open_namespaces(request)?,
        root: directory(&request.root, "root")?,
        working_directory: directory(&request.working_directory, "cwd")?,
        environment,
        context,
    })
}

fn open_namespaces(request: &Request) -> Result<Vec<NamespaceFile>, EnterError> {
    let mut files = Vec::new();
    for kind in ORDER {
        let named =
            request.namespaces.iter().rev().find(|(named, _)| *named == kind).map(|(_, source)| source);
        match (named, request.target) {
            (Some(Source::Path(path)), _) => files.push(NamespaceFile::open_kind(path, kind)?),
            (Some(Source::Target), None) => return Err(EnterError::NoTarget(kind.proc_name())),
            (Some(Source::Target), Some(pid)) => files.push(NamespaceFile::of_process(pid, kind)?),
            (None, Some(pid)) if request.all => {
                let file = NamespaceFile::of_process(pid, kind)?;
                // The kernel refuses to enter the user namespace that one is in.
                if file.id()? != NamespaceFile::of_self(kind)?.id()? {
                    files.push(file);
                }
            }
            (None, None) if request.all => return Err(EnterError::NoTarget("--all")),
            (None, _) => {}
        }
    }
    Ok(files)
}

/// Two rounds: what is refused in the first may be allowed after the others are entered, and the user namespace
/// may have to come last, as for root who would lose his rights over the others by it.
fn enter_namespaces(files: &[NamespaceFile]) -> Result<(), EnterError> {
    let refused: Vec<&NamespaceFile> = files.iter().filter(|file| file.enter().is_err()).collect();
    for file in refused {
        file.enter()?;
    }
    Ok(())
}

fn change_directories(plan: &Plan, inside: Option<&Path>) -> Result<(), EnterError> {
    let change = |directory: &OwnedFd, what: &str| {
        rustix::process::fchdir(directory)
            .map_err(|errno| step(format!("change to the {what} directory"), errno.into()))
    };
    if let Some(root) = &plan.root {
        let before = open_directory(Path::new("."))?;
        change(root, "root")?;
        rustix::process::chroot(".")
            .map_err(|errno| step("change the root directory".into(), errno.into()))?;
        change(&before, "previous")?;
    }
    if let Some(directory) = &plan.working_directory {
        change(directory, "working")?;
    }
    match inside {
        Some(path) => std::env::set_current_dir(path)
            .map_err(|source| step(format!("change to the directory {}", path.display()), source)),
        None => Ok(()),
    }
}

/// Whoever enters a user namespace becomes its root, unless asked otherwise.
fn credentials(request: &Request, user_namespace: bool) -> Credentials {
    let implied = (user_namespace && !request.preserve_credentials).then_some(0);
    Credentials { uid: request.uid.or(implied), gid: request.gid.or(implied) }
}

/// The cgroup.procs files of the target's cgroups, in each hierarchy that is mounted.
fn cgroup_files(target: Pid) -> Result<Vec<PathBuf>, EnterError> {
    let memberships = process::read_file(target, "cgroup")?;
    let directories = crate::cgroups::directories(&String::from_utf8_lossy(&memberships))
        .map_err(|source| EnterError::Open { path: "/proc/self/mountinfo".into(), source })?;
    Ok(directories.into_iter().map(|membership| membership.directory.join("cgroup.procs")).collect())
}

fn environment_of(block: &[u8]) -> Environment {
    let variable = |text: &[u8]| {
        let position = text.iter().position(|&byte| byte == b'=').filter(|&position| position > 0)?;
        Some((
            OsString::from_vec(text[..position].to_vec()),
            OsString::from_vec(text[position + 1..].to_vec()),
        ))
    };
    block.split(|&byte| byte == 0).filter_map(variable).collect()
}

fn open_directory(path: &Path) -> Result<OwnedFd, EnterError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| EnterError::Open { path: path.to_owned(), source: errno.into() })
}

fn step(operation: String, source: io::Error) -> EnterError {
    EnterError::Step { operation, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_read_whatever_it_contains() {
        let variables = environment_of(b"A=1\0B==\0=x\0none\0C=\xff\0\0");
        let expected: Environment = vec![
            ("A".into(), "1".into()),
            ("B".into(), "=".into()),
            ("C".into(), OsString::from_vec(vec![0xff])),
        ];
        assert_eq!(variables, expected);
    }

    #[test]
    fn what_needs_a_target_says_so() {
        let request = Request { namespaces: vec![(Kind::Net, Source::Target)], ..Request::default() };
        assert!(matches!(plan(&request).err(), Some(EnterError::NoTarget("net"))));
        assert!(matches!(
            plan(&Request { all: true, ..Request::default() }).err(),
            Some(EnterError::NoTarget("--all"))
        ));
    }

    #[test]
    fn a_target_that_is_gone_is_said_to_be_gone() {
        let request = Request { target: Pid::from_raw(i32::MAX), all: true, ..Request::default() };
        assert_eq!(plan(&request).err().unwrap().to_string(), "there is no process 2147483647");
    }
}
