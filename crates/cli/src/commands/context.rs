//! What every command needs: where things are, and what the host is configured to.

use std::error::Error;
use std::path::PathBuf;

use engine::{Engine, ListQuery, Paths, Summary};
use image::{Builtin, Image, ImageUser, Images};
use oci::Reference;
use oci::reference::ReferenceError;
use registry::Config;
use registry::policy::Policy;

/// Where the commands work.
pub struct Context {
    paths: Paths,
}

impl Context {
    /// The state at `root`, or where this user's is.
    pub fn new(root: Option<PathBuf>) -> Context {
        Context { paths: Paths::new(root) }
    }

    /// Works elsewhere.
    pub fn set_root(&mut self, root: PathBuf) {
        self.paths = Paths::new(Some(root));
    }

    /// Where state is.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The containers of this host; for an ordinary user, from inside the namespaces that they share.
    pub fn engine(&self) -> Result<Engine, Box<dyn Error>> {
        rootless::enter(&Paths::run_of_user())?;
        Ok(Engine::open(self.paths.clone())?)
    }

    /// The images of this host, from there too: an ordinary user's hold files of all the ids that he may map.
    pub fn images(&self) -> Result<Images, Box<dyn Error>> {
        rootless::enter(&Paths::run_of_user())?;
        Ok(Images::open(&self.paths.root)?)
    }

    /// What is known about registries. `BERTH_…` variables of no kind exist: files say it all.
    pub fn config(&self) -> image::Result<Config> {
        Ok(Config::from_environment()?)
    }

    /// Which images may be used.
    pub fn policy(&self) -> image::Result<Policy> {
        Ok(Policy::from_environment()?)
    }

    /// The references that a name on the command line may mean.
    pub fn candidates(&self, config: &Config, name: &str) -> image::Result<Vec<Reference>> {
        image::candidates(name, &config.registries)
    }

    /// The image that a name or id on the command line means.
    pub fn find(&self, images: &Images, name: &str) -> image::Result<Image> {
        images.find(name, &self.local_candidates(name)?)
    }
    /// All containers, each with the id of its image.
    pub fn image_users(&self) -> Result<Vec<(String, ImageUser)>, Box<dyn Error>> {
        let query = ListQuery { all: true, ..ListQuery::default() };
        let users = self.engine()?.list(&query)?.into_iter().map(|Summary { id, state, .. }| {
            (state.row.image_id, ImageUser { container: id, running: state.status.is_active() })
        });
        Ok(users.collect())
    }

    /// The same references for an image that is here; an id means none.
    pub fn local_candidates(&self, name: &str) -> image::Result<Vec<Reference>> {
        let mut candidates = match self.candidates(&self.config()?, name) {
            Err(image::Error::Reference(ReferenceError::LooksLikeId(_))) => return Ok(Vec::new()),
            found => found?,
        };
        candidates.extend(Builtin::named(name).map(Builtin::reference));
        Ok(candidates)
    }
}

/// What to do about an error, where something is known to help.
pub fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(registry::Error::Unauthorized { registry, .. }) = error.downcast_ref() {
            return Some(format!("`berth login {registry}` keeps credentials for it"));
        }
        if let Some(image::Error::Registry(registry::Error::Unauthorized { registry, .. })) =
            error.downcast_ref()
        {
            return Some(format!("`berth login {registry}` keeps credentials for it"));
        }
        if let Some(hint) = error.downcast_ref().and_then(network::Error::hint) {
            return Some(hint);
        }
        // An engine's error that is a network's has only the causes of that for its own.
        if let Some(hint) =
            error.downcast_ref().and_then(engine::Error::network).and_then(network::Error::hint)
        {
            return Some(hint);
        }
        current = error.source();
    }
    None
}
