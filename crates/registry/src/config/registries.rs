//! `containers-registries.conf(5)`, version 2: where images really come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;
use crate::file::{FileError, read_optional, with_extension};

/// The main file with its drop-ins merged in.
#[derive(Clone, Debug, Default)]
pub struct RegistriesConf {
    search: Vec<String>,
    mode: ShortNameMode,
    registries: Vec<RegistryTable>,
    aliases: BTreeMap<String, String>,
}

/// What to do where a short name could mean several images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ShortNameMode {
    /// Refuse to guess.
    Enforcing,
    /// Try one after the other.
    #[default]
    Permissive,
    /// The same, without aliases.
    Disabled,
}

/// One place to try, in the order of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Host, optional port, and repository.
    pub location: String,
    /// True where a broken certificate or plain HTTP is accepted.
    pub insecure: bool,
    /// True for a mirror: its failure is no failure of the pull.
    pub mirror: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct File {
    unqualified_search_registries: Option<Vec<String>>,
    short_name_mode: Option<ShortNameMode>,
    registry: Vec<RegistryTable>,
    aliases: BTreeMap<String, String>,
    /// The tables of version 1, which no current tool reads: refused rather than ignored.
    registries: Option<toml::Table>,
}

#[derive(Clone, Debug, Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct RegistryTable {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    mirror: Vec<MirrorTable>,
}

#[derive(Clone, Debug, Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct MirrorTable {
    location: String,
    insecure: bool,
    pull_from_mirror: PullFromMirror,
}

#[derive(Clone, Copy, Debug, Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum PullFromMirror {
    #[default]
    All,
    DigestOnly,
    TagOnly,
}

impl RegistriesConf {
    /// Reads `main` and then the `*.conf` files of each directory in their order; none of them has to exist.
    pub fn load(main: &Path, drop_ins: &[PathBuf]) -> Result<RegistriesConf, ConfigError> {
        let mut conf = RegistriesConf::default();
        conf.merge_file(main)?;
        for directory in drop_ins {
            for path in with_extension(directory, "conf")? {
                conf.merge_file(&path)?;
            }
        }
        Ok(conf)
    }

    fn merge_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let Some(text) = read_optional(path)? else { return Ok(()) };
        Ok(self.merge(&text).map_err(|reason| FileError::syntax(path, reason))?)
    }

    /// A later file replaces lists and tables of the same prefix, and adds aliases; an empty alias removes one.
    fn merge(&mut self, text: &str) -> Result<(), String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.registries.is_some() {
            return Err("[registries.*] is version 1 of this file, which is not read any more: \
                        use unqualified-search-registries and [[registry]]"
                .to_owned());
        }
        self.search = file.unqualified_search_registries.unwrap_or(std::mem::take(&mut self.search));
        self.mode = file.short_name_mode.unwrap_or(self.mode);
        for mut table in file.registry {
            table.complete()?;
            self.registries.retain(|known| known.prefix != table.prefix);
            self.registries.push(table);
        }
        self.aliases.extend(file.aliases);
        self.aliases.retain(|_, target| !target.is_empty());
        Ok(())
    }

    /// The full names that `name`, which has no registry in it, may mean. A tag or digest stays on it.
    pub fn expand_short_name(&self, name: &str) -> Result<Vec<String>, ConfigError> {
        let (bare, suffix) = split_suffix(name);
        if self.mode != ShortNameMode::Disabled
            && let Some(target) = self.aliases.get(bare)
        {
            return Ok(vec![format!("{target}{suffix}")]);
        }
        let candidates: Vec<String> =
            self.search.iter().map(|registry| format!("{registry}/{name}")).collect();
        match candidates.len() {
            0 => Ok(vec![name.to_owned()]),
            2.. if self.mode == ShortNameMode::Enforcing => Err(ConfigError::AmbiguousShortName {
                name: name.to_owned(),
                candidates: candidates.join(", "),
            }),
            _ => Ok(candidates),
        }
    }

    /// Where to fetch `repository` (with its host) from: mirrors first, the registry itself last.
    pub fn sources(&self, repository: &str, by_digest: bool) -> Result<Vec<Source>, ConfigError> {
        let Some((table, matched)) = self.table_of(repository) else {
            return Ok(vec![Source { location: repository.to_owned(), insecure: false, mirror: false }]);
        };
        if table.blocked {
            let (repository, prefix) = (repository.to_owned(), table.prefix.clone());
            return Err(ConfigError::Blocked { repository, prefix });
        }
        let rest = &repository[matched..];
        let mirrors = table.mirror.iter().filter(|mirror| match mirror.pull_from_mirror {
            PullFromMirror::All => by_digest || !table.mirror_by_digest_only,
            PullFromMirror::DigestOnly => by_digest,
            PullFromMirror::TagOnly => !by_digest,
        });
        let mut sources: Vec<Source> = mirrors
            .map(|mirror| Source {
                location: format!("{}{rest}", mirror.location),
                insecure: mirror.insecure,
                mirror: true,
            })
            .collect();
        let location = if table.location.is_empty() {
            repository.to_owned()
        } else {
            format!("{}{rest}", table.location)
        };
        sources.push(Source { location, insecure: table.insecure, mirror: false });
        Ok(sources)
    }

    /// The table with the longest prefix of `repository`, and how much of it that prefix covers.
    fn table_of(&self, repository: &str) -> Option<(&RegistryTable, usize)> {
        let matching = self.registries.iter().filter_map(|table| {
            let matched = match_len(&table.prefix, repository)?;
            Some((table, matched))
        });
        matching.max_by_key(|(table, _)| table.prefix.len())
    }
}

impl RegistryTable {
    /// Either of prefix and location stands for the other, except that a wildcard is no place.
    fn complete(&mut self) -> Result<(), String> {
        if self.prefix.is_empty() {
            self.prefix.clone_from(&self.location);
        }
        if self.prefix.is_empty() {
            return Err("[[registry]] has neither prefix nor location".to_owned());
        }
        for location in
            [&self.prefix, &self.location].into_iter().chain(self.mirror.iter().map(|m| &m.location))
        {
            if location.contains("://") {
                return Err(format!(
                    "{location:?}: a location has no scheme; write insecure = true for HTTP"
                ));
            }
        }
        if self.mirror.iter().any(|mirror| mirror.location.is_empty()) {
            return Err(format!("[[registry]] {:?}: a mirror has no location", self.prefix));
        }
        Ok(())
    }
}

fn match_len(prefix: &str, repository: &str) -> Option<usize> {
    if let Some(domain) = prefix.strip_prefix('*') {
        let host_len = repository.find('/').unwrap_or(repository.len());
        return repository[..host_len].ends_with(domain).then_some(host_len);
    }
    let rest = repository.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with(['/', ':', '@'])).then_some(prefix.len())
}

fn split_suffix(name: &str) -> (&str, &str) {
    let end = name.find('@').unwrap_or(name.len());
    let at = name[..end].rfind(':').unwrap_or(end);
    name.split_at(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> RegistriesConf {
        let mut conf = RegistriesConf::default();
        conf.merge(text).unwrap();
        conf
    }

    fn locations(conf: &RegistriesConf, repository: &str, by_digest: bool) -> Vec<String> {
        let sources = conf.sources(repository, by_digest).unwrap();
        sources.into_iter().map(|source| source.location).collect()
    }

    #[test]
    fn mirrors_come_first_and_the_longest_prefix_wins() {
        let conf = conf(
            r#"
            [[registry]]
            prefix = "r.test"
            location = "inner.test"
            [[registry]]
            prefix = "r.test/team"
            location = "team.test/deep"
            [[registry.mirror]]
            location = "m1.test/cache"
            insecure = true
            [[registry.mirror]]
            location = "m2.test"
            pull-from-mirror = "digest-only"
            [[registry.mirror]]
            location = "m3.test"
            pull-from-mirror = "tag-only"
            "#,
        );
        assert_eq!(locations(&conf, "r.test/app", false), ["inner.test/app"]);
        assert_eq!(
            locations(&conf, "r.test/team/app", false),
            ["m1.test/cache/app", "m3.test/app", "team.test/deep/app"]
        );
        assert_eq!(locations(&conf, "r.test/team/app", true)[1], "m2.test/app");
        assert_eq!(locations(&conf, "r.test/teamwork", false), ["inner.test/teamwork"]);
        assert!(conf.sources("r.test/team/app", false).unwrap()[0].insecure);
    }

    #[test]
    fn wildcards_match_subdomains_alone() {
        let conf = conf("[[registry]]\nprefix = \"*.corp.test\"\nlocation = \"proxy.test\"\n");
        assert_eq!(locations(&conf, "a.corp.test/x/y", false), ["proxy.test/x/y"]);
        assert_eq!(locations(&conf, "corp.test/x", false), ["corp.test/x"]);
        assert_eq!(locations(&conf, "b.test/a.corp.test/x", false), ["b.test/a.corp.test/x"]);
    }

    #[test]
    fn blocked_says_which_prefix() {
        let conf = conf("[[registry]]\nlocation = \"bad.test\"\nblocked = true\n");
        assert!(matches!(conf.sources("bad.test/x", false), Err(ConfigError::Blocked { .. })));
    }

    #[test]
    fn short_names() {
        let mut conf = conf("[aliases]\nfedora = \"r.test/fedora\"\n");
        assert_eq!(conf.expand_short_name("fedora:41").unwrap(), ["r.test/fedora:41"]);
        assert_eq!(conf.expand_short_name("busybox").unwrap(), ["busybox"]);
        conf.merge("unqualified-search-registries = ['a.test', 'b.test']").unwrap();
        assert_eq!(conf.expand_short_name("busybox:1").unwrap(), ["a.test/busybox:1", "b.test/busybox:1"]);
        conf.merge("short-name-mode = 'enforcing'").unwrap();
        let message = conf.expand_short_name("busybox").unwrap_err().to_string();
        assert!(message.contains("a.test/busybox, b.test/busybox"), "{message}");
        conf.merge("[aliases]\nfedora = ''\n").unwrap();
        assert!(conf.expand_short_name("fedora").is_err());
    }

    #[test]
    fn drop_ins_replace_tables_of_the_same_prefix() {
        let mut conf = conf("[[registry]]\nlocation = \"r.test\"\nblocked = true\n");
        conf.merge("[[registry]]\nlocation = \"r.test\"\n").unwrap();
        assert_eq!(locations(&conf, "r.test/x", false), ["r.test/x"]);
    }

    #[test]
    fn mistakes_are_told() {
        let mut conf = RegistriesConf::default();
        assert!(conf.merge("[registries.search]\nregistries = ['a']\n").unwrap_err().contains("version 1"));
        assert!(conf.merge("[[registry]]\nlocation = 'http://x'\n").unwrap_err().contains("insecure"));
        assert!(conf.merge("[[registry]]\ninsecure = true\n").unwrap_err().contains("neither"));
        assert!(conf.merge("short-name-mode = 'maybe'").is_err());
    }
}
