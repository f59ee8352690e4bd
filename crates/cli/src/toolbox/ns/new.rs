//! `berth ns new`: the options of unshare; a namespace is kept by a mount on its FILE.

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use namespace::Extent;
use toolbox::accounts;
use toolbox::ns::maps::{Mapping, OwnId, Ranges};
use toolbox::ns::new::{Propagation, Request, new};

use super::kinds::Kinds;
use crate::toolbox::{Outcome, end_like, signals};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    kinds: Kinds,
    /// Fork before the program is run
    #[arg(short, long)]
    fork: bool,
    /// The caller's user becomes this one (implies --user)
    #[arg(long, value_name = "UID|NAME")]
    map_user: Option<String>,
    /// The caller's group becomes this one (implies --user)
    #[arg(long, value_name = "GID|NAME")]
    map_group: Option<String>,
    /// The caller becomes root (implies --user)
    #[arg(short = 'r', long, conflicts_with = "map_current_user")]
    map_root_user: bool,
    /// The caller stays who he is (implies --user)
    #[arg(short = 'c', long)]
    map_current_user: bool,
    /// Map the ids that /etc/subuid and /etc/subgid give the caller (implies --user)
    #[arg(long, conflicts_with_all = ["map_users", "map_groups"])]
    map_auto: bool,
    /// Map users: OUTER,INNER,COUNT, or INNER:OUTER:COUNT, or auto (implies --user)
    #[arg(long, value_name = "RANGE")]
    map_users: Vec<String>,
    /// Map groups, likewise
    #[arg(long, value_name = "RANGE")]
    map_groups: Vec<String>,
    /// The child gets this signal when this process dies (implies --fork)
    #[arg(long, value_name = "SIGNAL", num_args = 0..=1, require_equals = true, default_missing_value = "KILL")]
    kill_child: Option<String>,
    /// Mount a new /proc first (implies --mount)
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "/proc")]
    mount_proc: Option<PathBuf>,
    /// What becomes of the propagation of mounts
    #[arg(long, value_name = "MODE", default_value = "private")]
    propagation: Mode,
    /// Allow or forbid setgroups(2) in the user namespace
    #[arg(long, value_name = "allow|deny")]
    setgroups: Option<Setgroups>,
    /// Keep the capabilities that the user namespace gives
    #[arg(long)]
    keep_caps: bool,
    /// Change the root directory
    #[arg(short = 'R', long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Change the working directory
    #[arg(short, long, value_name = "DIR")]
    wd: Option<PathBuf>,
    /// Become this user inside
    #[arg(short = 'S', long, value_name = "UID")]
    setuid: Option<u32>,
    /// Become this group inside
    #[arg(short = 'G', long, value_name = "GID")]
    setgid: Option<u32>,
    /// Shift the monotonic clock of the time namespace
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    monotonic: Option<i64>,
    /// Shift the boot time of the time namespace
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    boottime: Option<i64>,
    /// The program and its arguments; a login shell unless given
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Private,
    Shared,
    Slave,
    Unchanged,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Setgroups {
    Allow,
    Deny,
}

impl Arguments {
    pub fn run(self) -> Outcome {
        let request = Request {
            map: self.mapping()?,
            namespaces: self.kinds.given().collect(),
            fork: self.fork,
            setgroups: self.setgroups.map(|setgroups| setgroups == Setgroups::Allow),
            kill_child: self.kill_child.as_deref().map(signals::parse).transpose()?,
            mount_proc: self.mount_proc,
            propagation: match self.propagation {
                Mode::Private => Propagation::Private,
                Mode::Shared => Propagation::Shared,
                Mode::Slave => Propagation::Slave,
                Mode::Unchanged => Propagation::Unchanged,
            },
            keep_capabilities: self.keep_caps,
            root: self.root,
            working_directory: self.wd,
            uid: self.setuid,
            gid: self.setgid,
            monotonic: self.monotonic,
            boottime: self.boottime,
            command: self.command,
        };
        Ok(end_like(new(&request)?))
    }

    fn mapping(&self) -> Result<Mapping, Box<dyn Error>> {
        let whole = match (self.map_root_user, self.map_current_user) {
            (true, _) => Some(OwnId::To(0)),
            (false, true) => Some(OwnId::Same),
            (false, false) => None,
        };
        let user = self.map_user.as_deref().map(accounts::user_id).transpose()?.map(OwnId::To);
        let group = self.map_group.as_deref().map(accounts::group_id).transpose()?.map(OwnId::To);
        let auto = || self.map_auto.then_some(Ranges::Auto);
        Ok(Mapping {
            user: user.or(whole),
            group: group.or(whole),
            users: ranges(&self.map_users)?.or_else(auto),
            groups: ranges(&self.map_groups)?.or_else(auto),
        })
    }
}

fn ranges(texts: &[String]) -> Result<Option<Ranges>, Box<dyn Error>> {
    Ok(match texts {
        [] => None,
        [auto] if auto == "auto" => Some(Ranges::Auto),
        texts => Some(Ranges::Explicit(texts.iter().map(|text| range(text)).collect::<Result<_, _>>()?)),
    })
}

/// With commas as in util-linux up to 2.38, where the outer id comes first, or with colons as since then.
fn range(text: &str) -> Result<Extent, namespace::MapError> {
    match text.split(',').collect::<Vec<_>>()[..] {
        [outer, inner, count] => format!("{inner}:{outer}:{count}").parse(),
        _ => text.parse(),
    }
}
