//! The `berth` binary: the OCI runtime under the names `berth-oci`, `runc` and `crun` and as `berth oci`, and the
//! tools as commands of `berth`.

mod commands;
mod oci;
mod toolbox;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    let name = args.first().and_then(|arg| Path::new(arg).file_name()).map(OsStr::to_os_string);
    if name.is_some_and(|name| name == "berth-oci" || name == "runc" || name == "crun") {
        return oci::main(args);
    }
    match args.get(1) {
        Some(command) if command == "oci" => {
            args.remove(0);
            oci::main(args)
        }
        _ if commands::knows(&args) => commands::run(args),
        _ => toolbox::run(args),
    }
}
