//! What a container's specification depends on, looked up when it is started.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use oci::spec::Spec;

use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::spec::{Found, Host, Place, Places, Request, plan};
use crate::users::Accounts;

impl Engine {
    /// The specification of a container whose root file system is at `rootfs`.
    pub(crate) fn spec(&self, container: &Container, rootfs: BorrowedFd<'_>) -> Result<Spec> {
        let host = Host::detect()?;
        let asked = &container.asked;
        let user = Accounts::read(rootfs)?.user(&asked.config.user, &asked.host_config.group_add)?;
        let pids = self.joined(container, &host)?;
        let found = Found { user, pids, ..Found::default() };
        let request =
            Request { id: &container.id, config: asked, host: &host, found: &found, etc: None, init: None };
        Ok(plan(&request)?)
    }

    /// The first processes of the containers whose namespaces are joined.
    fn joined(&self, container: &Container, host: &Host) -> Result<BTreeMap<String, i32>> {
        let places = Places::of(&container.asked.host_config, host.unified);
        let mut pids = BTreeMap::new();
        for place in [&places.network, &places.pid, &places.ipc, &places.uts, &places.user] {
            if let Place::Container(name) = place {
                pids.insert(name.clone(), self.pid_of(name)?);
            }
        }
        Ok(pids)
    }

    /// The first process of a running container.
    fn pid_of(&self, name: &str) -> Result<i32> {
        let other = self.find(name)?;
        let state = self.state(&other)?;
        let running = (state.status.is_active() && state.pid > 0).then_some(state.pid);
        running.ok_or_else(|| {
            let cause =
                format!("cannot join the namespaces of container {name}: it is not running: start it first");
            Error::Conflict(cause)
        })
    }
}
