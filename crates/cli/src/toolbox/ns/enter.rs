//! `berth ns enter`: the options of nsenter; a namespace's FILE is entered instead of the target's.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use toolbox::containers;
use toolbox::ns::enter::{Request, Source, enter};

use super::kinds::Kinds;
use crate::toolbox::{Outcome, end_like};

#[derive(Args)]
pub struct Arguments {
    /// Enter all namespaces of the target that are not the caller's
    #[arg(short, long)]
    all: bool,
    /// The process or container whose namespaces are meant
    #[arg(short, long, value_name = "TARGET")]
    target: Option<String>,
    #[command(flatten)]
    kinds: Kinds,
    /// Become this user inside
    #[arg(short = 'S', long, value_name = "UID")]
    setuid: Option<u32>,
    /// Become this group inside
    #[arg(short = 'G', long, value_name = "GID")]
    setgid: Option<u32>,
    /// Change neither user nor groups
    #[arg(long)]
    preserve_credentials: bool,
    /// Keep the capabilities that the user namespace gives
    #[arg(long)]
    keep_caps: bool,
    /// Use the target's root directory, or this one
    #[arg(short, long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    root: Option<Option<PathBuf>>,
    /// Use the target's working directory, or this one
    #[arg(short, long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    wd: Option<Option<PathBuf>>,
    /// Change to this directory inside
    #[arg(short = 'W', long, value_name = "DIR")]
    wdns: Option<PathBuf>,
    /// Use the target's environment
    #[arg(short, long)]
    env: bool,
    /// Don't fork before the program is run
    #[arg(short = 'F', long)]
    no_fork: bool,
    /// Join the target's cgroups
    #[arg(short = 'c', long)]
    join_cgroup: bool,
    /// Take the target's SELinux context
    #[arg(short = 'Z', long)]
    follow_context: bool,
    /// The program and its arguments; a login shell unless given
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl Arguments {
    pub fn run(self) -> Outcome {
        let target = self.target.map(|target| containers::resolve(&target)).transpose()?;
        let source = |path: Option<PathBuf>| path.map_or(Source::Target, Source::Path);
        let request = Request {
            target,
            all: self.all,
            namespaces: self.kinds.given().map(|(kind, file)| (kind, source(file))).collect(),
            root: self.root.map(source),
            working_directory: self.wd.map(source),
            working_directory_inside: self.wdns,
            uid: self.setuid,
            gid: self.setgid,
            preserve_credentials: self.preserve_credentials,
            keep_capabilities: self.keep_caps,
            environment: self.env,
            join_cgroup: self.join_cgroup,
            no_fork: self.no_fork,
            follow_context: self.follow_context,
            command: self.command,
        };
        Ok(end_like(enter(&request)?))
    }
}
