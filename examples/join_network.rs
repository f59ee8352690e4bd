//! Joins the network namespace of a process, or one with a name of `ip netns`, and runs a program there:
//! `join_network PID|NAME COMMAND [ARGUMENT…]`. Must be run by root.

use std::error::Error;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use namespace::{Kind, NamespaceFile};
use rustix::process::Pid;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [target, command, arguments @ ..] = words.as_slice() else {
        return Err("usage: join_network PID|NAME COMMAND [ARGUMENT…]".into());
    };
    let pid = target.parse().ok().and_then(Pid::from_raw);
    // Both are verified to be network namespaces: a file of another type is refused with its name.
    let namespace = match pid {
        Some(pid) => NamespaceFile::of_process(pid, Kind::Net)?,
        None => NamespaceFile::open_kind(Path::new("/run/netns").join(target), Kind::Net)?,
    };
    println!("from {} to {}", NamespaceFile::of_self(Kind::Net)?.id()?, namespace.id()?);
    namespace.enter()?;
    // Returns only if it fails.
    Err(Command::new(command).args(arguments).exec().into())
}
