//! What is done for a container while init makes its mounts: between the clone of its first process and its program.

use std::os::fd::AsFd;

use ::network::{AttachRequest, Resolver, UserMode, UserNetwork};
use oci::spec::Spec;
use runtime::Born;
use runtime::failure::Failure;

use crate::attend::sentence;
use crate::config::Observe;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::network::Connected;
use crate::user_network;

/// What there is to do.
pub(crate) struct Preparation<'a> {
    engine: &'a Engine,
    container: &'a Container,
    /// Whether the container is an ordinary user's.
    rootless: bool,
    /// What of its processes is observed, and by which configuration it is explained.
    observed: Option<(Observe, Spec)>,
    /// The networks that it joins.
    request: Option<AttachRequest>,
    /// The program that connects it instead.
    mode: Option<UserMode>,
}

/// What the container is connected by.
#[derive(Default)]
pub(crate) struct Prepared {
    pub connected: Connected,
    pub resolver: Option<Resolver>,
    pub user_network: Option<UserNetwork>,
}

impl<'a> Preparation<'a> {
    pub fn new(engine: &'a Engine, container: &'a Container, spec: &Spec, rootless: bool) -> Result<Self> {
        Ok(Self {
            engine,
            container,
            rootless,
            observed: container.asked.host_config.observe.map(|wanted| (wanted, spec.clone())),
            request: crate::network::request(container)?,
            mode: user_network::mode(container),
        })
    }

    /// Whether it is connected with anything.
    pub fn connects(&self) -> bool {
        self.request.is_some() || self.mode.is_some()
    }

    /// Whether there is anything to do, for which init would wait.
    pub fn is_needed(&self) -> bool {
        self.connects() || self.rootless || self.observed.is_some()
    }

    pub fn carry_out(self, born: &Born<'_>) -> std::result::Result<Prepared, Failure> {
        let (engine, container) = (self.engine, self.container);
        let failed = |operation: &'static str, object: &'static str| {
            move |error: Error| Failure::because(operation, object, sentence(&error))
        };
        if self.rootless {
            user_network::note_member(born.pid).map_err(failed("write down", "the container"))?;
        }
        if let Some((wanted, spec)) = self.observed {
            let started = engine.start_observer(&container.id, wanted, born.pid, spec);
            started.map_err(failed("begin to", "observe it"))?;
        }
        let refused = failed("connect", "the container");
        if let Some(mode) = self.mode {
            let (connected, network) = engine.connect_user(container, mode, born.pid).map_err(refused)?;
            return Ok(Prepared { connected, resolver: None, user_network: Some(network) });
        }
        let Some(request) = &self.request else { return Ok(Prepared::default()) };
        let namespace = born.network_namespace()?;
        let (mut connected, resolver) =
            engine.connect(container, request, namespace.as_fd()).map_err(refused)?;
        let user_network = match self.rootless {
            true => engine.connect_out(container, &mut connected, born.pid).map_err(refused)?,
            false => None,
        };
        Ok(Prepared { connected, resolver, user_network })
    }
}
