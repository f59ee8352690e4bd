//! `berth update`

use std::ffi::OsString;

use clap::Arg;
use engine::UpdateConfig;

use super::each;
use super::request::{Request, UPDATE};
use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::flags::{self, Usage};

/// The flags of `update`, for help.
pub fn flags(command: clap::Command) -> clap::Command {
    let containers =
        Arg::new("containers").value_name("CONTAINER").num_args(1..).required(true).help("Names or ids");
    command.args(flags::args(UPDATE)).arg(containers)
}

pub fn run(words: &[OsString], context: &mut Context) -> Outcome {
    let (mut request, mut names, mut rest) = (Request::default(), Vec::new(), words);
    // Flags may stand behind names, too.
    loop {
        rest = flags::parse(UPDATE, rest, &mut request)?;
        let Some((name, more)) = rest.split_first() else { break };
        names.push(flags::utf8(name)?.to_owned());
        rest = more;
    }
    if names.is_empty() {
        let missing = "a container is missing: at least 1 argument is required";
        return Err(Usage::Wrong(missing.to_owned()).into());
    }
    if let Some(root) = request.root {
        context.set_root(root);
    }
    let host = request.create.host_config;
    let policy = Some(host.restart_policy).filter(|policy| !policy.name.is_empty());
    let config = UpdateConfig { resources: host.resources, restart_policy: policy };
    if config == UpdateConfig::default() {
        return Err(Usage::Wrong("nothing to change: you must provide one or more flags".to_owned()).into());
    }
    let engine = context.engine()?;
    each::at_once(&engine, &names, |container| engine.update(container, &config))
}
