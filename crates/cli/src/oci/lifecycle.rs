//! `start`, `kill`, `delete`, and what the commands have in common that take a container alone.

use clap::Args;
use runtime::{Container, Failure};

use super::notify::Notify;
use super::{Global, Outcome, signal};

/// A container.
#[derive(Args)]
pub struct Target {
    /// The container's name
    id: String,
}

impl Target {
    pub fn open(&self, global: &Global) -> Result<Container, Failure> {
        global.open(&self.id)
    }
}

pub fn start(target: &Target, global: &Global) -> Outcome {
    let container = target.open(global)?;
    let directory = runtime::notify::directory(&global.state_root(), container.id());
    let notify = Notify::of(&container, &directory)?;
    container.start()?;
    if let (Some(notify), Some((pid, pidfd))) = (notify, container.first_process()?) {
        notify.until_ready(pid, &pidfd)?;
    }
    Ok(0)
}

#[derive(Args)]
pub struct Kill {
    /// The container's name
    id: String,
    /// Name or number of the signal
    #[arg(default_value = "SIGTERM", allow_hyphen_values = true)]
    signal: String,
    /// Send it to all processes of the container
    #[arg(short, long)]
    all: bool,
}

impl Kill {
    pub fn run(self, global: &Global) -> Outcome {
        let signal = signal::parse(&self.signal)?;
        let container = global.open(&self.id)?;
        if self.all {
            container.signal_all(signal)?;
            return Ok(0);
        }
        container.kill(signal)?;
        Ok(0)
    }
}

#[derive(Args)]
pub struct Delete {
    /// The container's name
    id: String,
    /// End it first where it runs; no error where there is none
    #[arg(short, long)]
    force: bool,
}

impl Delete {
    pub fn run(self, global: &Global) -> Outcome {
        let id = super::container_id(&self.id)?;
        match Container::open(&global.state_root(), &id) {
            Ok(container) => container.delete(self.force).map(|()| 0),
            // What a creator left that was killed before there was anything to undo.
            Err(_) if self.force => runtime::forget(&global.state_root(), &id).map(|()| 0),
            Err(failure) => Err(failure),
        }
    }
}
