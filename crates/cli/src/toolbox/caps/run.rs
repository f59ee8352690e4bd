//! `berth caps run`.

use std::error::Error;
use std::ffi::OsString;

use capability::{CapSet, Sets, supported};
use clap::Args;
use toolbox::accounts::{self, Accounts};
use toolbox::caps::list;
use toolbox::caps::run::{Request, parse_securebits, run};

use crate::toolbox::Outcome;

/// Lists are names with commas between, all or none; +NAME and -NAME change what the caller has.
#[derive(Args)]
pub struct Run {
    /// The inheritable set
    #[arg(long = "inh", value_name = "LIST", allow_hyphen_values = true)]
    inheritable: Option<String>,
    /// The ambient set; its members become inheritable too
    #[arg(long = "amb", value_name = "LIST", allow_hyphen_values = true)]
    ambient: Option<String>,
    /// The bounding set
    #[arg(long = "bound", value_name = "LIST", allow_hyphen_values = true)]
    bounding: Option<String>,
    /// Drop these from the bounding set
    #[arg(long, value_name = "LIST")]
    drop: Option<String>,
    /// Become this user, with his login group and no others unless told
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Become this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// The supplementary groups, with commas between
    #[arg(long, value_name = "GROUPS", value_delimiter = ',')]
    groups: Option<Vec<String>>,
    /// Securebits with commas between, as in capabilities(7), or none
    #[arg(long, value_name = "BITS")]
    securebits: Option<String>,
    /// No exec gives privileges any more
    #[arg(long, alias = "nnp")]
    no_new_privs: bool,
    /// The program and its arguments; a login shell unless given
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl Run {
    pub fn run(self) -> Outcome {
        Err(Box::new(run(&self.request()?)))
    }

    fn request(self) -> Result<Request, Box<dyn Error>> {
        let own = Sets::of_self()?;
        let set = |text: Option<&String>, current: CapSet, all: CapSet| {
            text.map(|text| list::parse(text, current, all)).transpose()
        };
        let dropped = set(self.drop.as_ref(), CapSet::EMPTY, supported())?;
        let bounding = set(self.bounding.as_ref(), own.bounding, own.bounding)?;
        let bounding = match dropped {
            Some(dropped) => Some(bounding.unwrap_or(own.bounding) - dropped),
            None => bounding,
        };
        let uid = self.user.as_deref().map(accounts::user_id).transpose()?;
        let group = self.group.as_deref().map(accounts::group_id).transpose()?;
        let login_group = uid.and_then(|uid| Accounts::users().login_group(uid));
        let groups = |names: Vec<String>| names.iter().map(|name| accounts::group_id(name)).collect();
        let named = self.groups.map(groups).transpose()?;
        Ok(Request {
            inheritable: set(self.inheritable.as_ref(), own.inheritable, own.permitted)?,
            ambient: set(self.ambient.as_ref(), own.ambient, own.permitted)?,
            bounding,
            uid,
            gid: group.or(login_group),
            groups: named.or(uid.map(|_| Vec::new())),
            securebits: self.securebits.as_deref().map(parse_securebits).transpose()?,
            no_new_privileges: self.no_new_privs,
            command: self.command,
        })
    }
}
