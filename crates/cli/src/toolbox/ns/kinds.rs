//! The options that `ns enter` and `ns new` share: one a type of namespace.

use std::path::PathBuf;

use clap::Args;
use namespace::Kind;

/// Each is given as `-m`, or with a file as `-mFILE` or `--mount=FILE`.
#[derive(Args)]
pub struct Kinds {
    /// The mount namespace
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    mount: Option<Option<PathBuf>>,
    /// The UTS namespace (hostname)
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    uts: Option<Option<PathBuf>>,
    /// The IPC namespace
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    ipc: Option<Option<PathBuf>>,
    /// The network namespace
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    net: Option<Option<PathBuf>>,
    /// The pid namespace
    #[arg(short, long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pid: Option<Option<PathBuf>>,
    /// The cgroup namespace
    #[arg(short = 'C', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    cgroup: Option<Option<PathBuf>>,
    /// The user namespace
    #[arg(short = 'U', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    user: Option<Option<PathBuf>>,
    /// The time namespace
    #[arg(short = 'T', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    time: Option<Option<PathBuf>>,
}

impl Kinds {
    /// Those that were given, with their files.
    pub fn given(self) -> impl Iterator<Item = (Kind, Option<PathBuf>)> {
        let options = [
            (Kind::Mount, self.mount),
            (Kind::Uts, self.uts),
            (Kind::Ipc, self.ipc),
            (Kind::Net, self.net),
            (Kind::Pid, self.pid),
            (Kind::Cgroup, self.cgroup),
            (Kind::User, self.user),
            (Kind::Time, self.time),
        ];
        options.into_iter().filter_map(|(kind, option)| Some((kind, option?)))
    }
}
