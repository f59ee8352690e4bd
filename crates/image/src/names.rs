//! What people type → full references.

use oci::Reference;
use oci::reference::DEFAULT_DOMAIN;
use registry::config::RegistriesConf;

use crate::Result;

/// The references that `text` may mean, best first; a name without tag and digest means `latest`.
pub fn candidates(text: &str, registries: &RegistriesConf) -> Result<Vec<Reference>> {
    if !Reference::is_short(text) {
        return Ok(vec![text.parse::<Reference>()?.with_default_tag()]);
    }
    // The grammar is checked first, so that nonsense is not looked up.
    Reference::parse_in(text, DEFAULT_DOMAIN)?;
    let expanded = registries.expand_short_name(text)?;
    expanded.iter().map(|name| Ok(Reference::parse_in(name, DEFAULT_DOMAIN)?.with_default_tag())).collect()
}

/// The same where no configuration is at hand; an id means none.
pub fn default_candidates(text: &str) -> Vec<Reference> {
    candidates(text, &RegistriesConf::default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_mean_the_hub_unless_configured() {
        let registries = RegistriesConf::default();
        let names = |text: &str| -> Vec<String> {
            candidates(text, &registries).unwrap().iter().map(ToString::to_string).collect()
        };
        assert_eq!(names("busybox"), ["docker.io/library/busybox:latest"]);
        assert_eq!(names("user/app:1"), ["docker.io/user/app:1"]);
        assert_eq!(names("r.test/app"), ["r.test/app:latest"]);
        assert!(candidates("UPPER", &registries).is_err());
    }
}
