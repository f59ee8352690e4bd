//! After the host's start: what was left is repaired, and what is to run runs again.

use ::monitor::attach::Client;
use ::monitor::restart::Policy;

use crate::engine::Engine;
use crate::error::Result;
use crate::list::ListQuery;

/// A container that was to be started, and the connection to its monitor or why there is none.
pub type Booted = (String, Result<Client>);

impl Engine {
    /// Repairs everything, and starts the containers that do not run and whose policy is `always`, or `unless-stopped`
    /// where nobody had stopped them.
    ///
    /// # Errors
    /// Where records can't be read.
    pub fn boot(&self) -> Result<Vec<Booted>> {
        self.repair()?;
        let all = ListQuery { all: true, ..ListQuery::default() };
        let mut booted = Vec::new();
        for summary in self.list(&all)? {
            let state = &summary.state;
            let wanted = match state.row.restart.parse() {
                Ok(Policy::Always) => true,
                Ok(Policy::UnlessStopped) => !state.stop_requested,
                _ => false,
            };
            // One that was made and never started is no one's wish yet.
            let never = state.started_at.is_empty();
            if wanted && !never && !state.status.is_active() {
                let started = self.find(&summary.id).and_then(|container| self.start(&container, None));
                booted.push((state.row.name.clone(), started));
            }
        }
        Ok(booted)
    }
}
