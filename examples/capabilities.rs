//! Sets and drops the capabilities of this process, and reads them as those of any other.
//!
//! `capabilities PID…` shows the sets of processes. Without arguments it keeps just the right to send signals and
//! to change owners, drops the second, and shows what became of it at each step. Must be run by root.

use std::error::Error;

use capability::{CapSet, Capability, Sets, drop_bounding, raise_ambient, set_process_sets};
use rustix::process::{Pid, getpid};

fn main() -> Result<(), Box<dyn Error>> {
    let pids: Vec<String> = std::env::args().skip(1).collect();
    for pid in &pids {
        let pid = Pid::from_raw(pid.parse()?).ok_or("process ids begin at 1")?;
        show(&format!("process {pid}"), &Sets::of_process(pid)?);
    }
    if pids.is_empty() { walk() } else { Ok(()) }
}

fn walk() -> Result<(), Box<dyn Error>> {
    show("at first", &Sets::of_self()?);

    // What exec can give at most; it needs CAP_SETPCAP, so it comes before that is dropped.
    let two: CapSet = [Capability::KILL, Capability::CHOWN].into_iter().collect();
    drop_bounding(two)?;

    // capset(2) sets three sets at once.
    set_process_sets(two, two, two)?;
    // What was dropped does not come back. What may not be had is returned, not an error.
    let refused = set_process_sets(two, two | Capability::SYS_ADMIN.into(), two)?;
    println!("refused: {}", refused.permitted);
    show("with two", &Sets::of_self()?);

    // Permitted but not effective: the process can take it back. Then for good.
    let kill = CapSet::from(Capability::KILL);
    set_process_sets(kill, two, two)?;
    show("one asleep", &Sets::of_self()?);
    set_process_sets(kill, kill, kill)?;

    // Survives exec, also of an ordinary user.
    raise_ambient(kill)?;
    show("in the end", &Sets::of_process(getpid())?);
    Ok(())
}

fn show(when: &str, sets: &Sets) {
    println!(
        "{when}: effective {:x} permitted {:x} ambient {:x}",
        sets.effective, sets.permitted, sets.ambient
    );
}
