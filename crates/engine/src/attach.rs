//! A running container's stdio, and what it wrote.

use ::monitor::attach::Client;
use ::monitor::log::{Reader, Sink};

use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::start::monitor_config;
use crate::state::Status;

/// Which lines of a container's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// From this instant on, in nanoseconds since 1970.
    pub since: Option<i64>,
    /// Before this instant.
    pub until: Option<i64>,
    /// The last so many lines; none is all.
    pub tail: Option<usize>,
    /// Whether to wait for more until the container ends.
    pub follow: bool,
    /// Whether each line begins with its time.
    pub timestamps: bool,
    /// Whether each line begins with what the options of the log add.
    pub details: bool,
    /// Whether what was written to stdout is wanted.
    pub stdout: bool,
    /// Whether what was written to stderr is wanted.
    pub stderr: bool,
}

impl Engine {
    /// A connection to the monitor of a running container, for [`Client::run`].
    ///
    /// # Errors
    /// Where it does not run, or its monitor was killed.
    pub fn attach(&self, container: &Container) -> Result<Client> {
        match self.state(container)?.status {
            Status::Running => {}
            Status::Paused => {
                let cause = "You cannot attach to a paused container, unpause it first";
                return Err(Error::Conflict(cause.to_owned()));
            }
            Status::Restarting => {
                let cause = "You cannot attach to a restarting container, wait until it is running";
                return Err(Error::Conflict(cause.to_owned()));
            }
            _ => {
                let cause = "You cannot attach to a stopped container, start it first";
                return Err(Error::Conflict(cause.to_owned()));
            }
        }
        let client = Client::connect(&self.paths().running(&container.id));
        let lost = |failure| match self.monitor_process(&container.id) {
            Ok(None) => Error::Conflict(format!(
                "cannot attach to container {}: its monitor was killed; restart it to have its output again",
                container.name
            )),
            _ => Error::Runtime(failure),
        };
        let client = client.map_err(lost)?;
        self.events().emit(&[container.event("attach", [])]);
        Ok(client)
    }

    /// Gives the lines of a container's log that are asked for to `sink`.
    ///
    /// # Errors
    /// Where the driver keeps nothing to read, or the log can't be read.
    pub fn logs(&self, container: &Container, query: &LogQuery, sink: &mut dyn Sink) -> Result<()> {
        let config = monitor_config(self, container)?;
        let follow = query.follow.then(|| self.monitor_process(&container.id)).transpose()?.flatten();
        let query = ::monitor::log::Query {
            since: query.since,
            until: query.until,
            tail: query.tail,
            follow: follow.as_ref().map(std::os::fd::AsFd::as_fd),
            timestamps: query.timestamps,
            details: query.details,
            stdout: query.stdout,
            stderr: query.stderr,
        };
        Ok(Reader::open(&config.log)?.read(&query, sink)?)
    }
}
