//! Docker's filters: `--filter NAME=VALUE`, several values of one name are alternatives, several names all hold.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Values by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads `NAME=VALUE` of each flag.
    ///
    /// # Errors
    /// Where one has no `=`.
    pub fn parse<'a>(flags: impl IntoIterator<Item = &'a str>) -> Result<Filters> {
        let mut filters = Filters::default();
        for flag in flags {
            let Some((name, value)) = flag.split_once('=') else {
                return Err(Error::Invalid(format!("invalid filter {flag:?}: expected NAME=VALUE")));
            };
            filters.add(name.trim().to_ascii_lowercase(), value.trim());
        }
        Ok(filters)
    }

    /// Adds an alternative.
    pub fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.entry(name.into()).or_default().push(value.into());
    }

    /// Refuses names that are none of `known`.
    ///
    /// # Errors
    /// With the first of them.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                Err(Error::Invalid(format!("invalid filter '{name}': known are {}", known.join(", "))))
            }
        }
    }

    /// Whether there is any filter.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values of a name.
    pub fn get(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a name has no values, or one that `matches`.
    pub fn any(&self, name: &str, matches: impl FnMut(&String) -> bool) -> bool {
        let values = self.get(name);
        values.is_empty() || values.iter().any(matches)
    }

    /// Whether all `label` values (`KEY` or `KEY=VALUE`) are among these labels, and none of `label!`.
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
            None => labels.contains_key(wanted.as_str()),
        };
        self.get("label").iter().all(has) && !self.get("label!").iter().any(has)
    }

    /// Whether a name has no values, or `text` matches one of them as a regular expression, or equals it.
    ///
    /// # Errors
    /// Where one is no regular expression.
    pub fn matches(&self, name: &str, text: &str) -> Result<bool> {
        let values = self.get(name);
        for value in values {
            if value == text || regex(value)?.is_match(text) {
                return Ok(true);
            }
        }
        Ok(values.is_empty())
    }
}

fn regex(value: &str) -> Result<regex_lite::Regex> {
    let refused = |error| Error::Invalid(format!("invalid filter value {value:?}: {error}"));
    regex_lite::Regex::new(value).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_alternatives_and_labels_all_hold() {
        let filters = Filters::parse(["status=running", "status=paused", "label=a", "label=b=1"]).unwrap();
        assert!(filters.any("status", |value| value == "paused"));
        assert!(!filters.any("status", |value| value == "exited"));
        assert!(filters.any("name", |_| false));
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        assert!(filters.labels(&labels(&[("a", ""), ("b", "1")])));
        assert!(!filters.labels(&labels(&[("a", ""), ("b", "2")])));
    }

    #[test]
    fn names_are_regular_expressions() {
        let filters = Filters::parse(["name=^web"]).unwrap();
        assert!(filters.matches("name", "web-1").unwrap());
        assert!(!filters.matches("name", "my-web").unwrap());
        assert!(Filters::parse(["name=("]).unwrap().matches("name", "x").is_err());
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        assert!(Filters::parse(["running"]).is_err());
        assert!(Filters::parse(["colour=red"]).unwrap().only(&["name"]).is_err());
    }
}
