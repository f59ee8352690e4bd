//! Clones a child into new mount, pid and UTS namespaces, where it is process 1, has a host name and a /proc of its
//! own, and runs a program: `new_namespaces HOSTNAME COMMAND [ARGUMENT…]`. Must be run by root.

use std::error::Error;
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{WaitOptions, waitpid};
use sys::process::{CloneFlags, Cloned, clone};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [hostname, command, arguments @ ..] = words.as_slice() else {
        return Err("usage: new_namespaces HOSTNAME COMMAND [ARGUMENT…]".into());
    };
    match clone(CloneFlags::NEWNS | CloneFlags::NEWPID | CloneFlags::NEWUTS, None)? {
        Cloned::Parent { pid, .. } => {
            let (_, status) = waitpid(Some(pid), WaitOptions::empty())?.ok_or("nobody to wait for")?;
            exit(status.exit_status().unwrap_or(1));
        }
        Cloned::Child => {
            prepare(hostname)?;
            // Returns only if it fails.
            Err(Command::new(command).args(arguments).exec().into())
        }
    }
}

fn prepare(hostname: &str) -> rustix::io::Result<()> {
    rustix::system::sethostname(hostname.as_bytes())?;
    // The new namespace is a copy whose mounts still propagate to the host: first of all they must not.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    // /proc shows the pid namespace that it was mounted in.
    mount("proc", "/proc", "proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)
}
