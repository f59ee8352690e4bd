//! Which driver, with which options: `--log-driver` and `--log-opt`, checked before anything is touched.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use regex_lite::Regex;
use serde::{Deserialize, Serialize};

use super::tag;

/// The drivers by name.
pub const DRIVERS: [&str; 4] = ["local", "json-file", "journald", "none"];

/// Where logs go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// Our own files.
    #[default]
    Local,
    /// Docker's files.
    JsonFile,
    /// The host's journal.
    Journald,
    /// Nowhere.
    None,
}

impl Driver {
    /// The driver's name.
    pub fn name(self) -> &'static str {
        DRIVERS[self as usize]
    }

    /// The options that it takes.
    fn options(self) -> &'static [&'static str] {
        const FILES: &[&str] = &[
            "compress",
            "env",
            "env-regex",
            "labels",
            "labels-regex",
            "max-buffer-size",
            "max-file",
            "max-size",
            "mode",
            "tag",
        ];
        const JOURNAL: &[&str] =
            &["env", "env-regex", "labels", "labels-regex", "max-buffer-size", "mode", "tag"];
        match self {
            Self::Local | Self::JsonFile => FILES,
            Self::Journald => JOURNAL,
            Self::None => &[],
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What happens when the driver is slower than the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The payload waits.
    #[default]
    Blocking,
    /// So much is held back, then lines are dropped.
    NonBlocking,
}

/// Facts of the container that options speak of.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The id, 64 hexadecimal digits.
    pub id: &'a str,
    /// The name, without a slash.
    pub name: &'a str,
    /// The image's id.
    pub image_id: &'a str,
    /// The image's name as it was given.
    pub image: &'a str,
    /// Labels.
    pub labels: &'a BTreeMap<String, String>,
    /// The environment, each `NAME=VALUE`.
    pub env: &'a [String],
}

/// How a container logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The driver.
    pub driver: Driver,
    /// The directory that its files are in.
    pub dir: PathBuf,
    /// The container's id.
    pub id: String,
    /// The container's name.
    pub name: String,
    /// The image's name.
    pub image: String,
    /// A file is rotated before it grows larger than so many bytes; none is never.
    pub max_size: Option<u64>,
    /// So many files are kept, the one that is written among them.
    pub max_file: u32,
    /// Whether files that are no longer written are compressed.
    pub compress: bool,
    /// What happens when the driver is slow.
    pub mode: Mode,
    /// How much is held back in mode non-blocking.
    pub max_buffer_size: u64,
    /// What `tag` says, expanded.
    pub tag: Option<String>,
    /// What labels and variables the options `labels` and `env` name, and the tag where one was asked for.
    pub attrs: BTreeMap<String, String>,
}

/// Why options can't be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// There is no such driver.
    #[error("unknown log driver {0:?}: there are {list}", list = DRIVERS.join(", "))]
    Driver(String),
    /// The driver has no such option.
    #[error("unknown log option {option:?} for driver {driver}: {list}", list = known(*.driver))]
    Option {
        /// The driver.
        driver: Driver,
        /// The option.
        option: String,
    },
    /// The option's value can't be read.
    #[error("invalid value {value:?} of log option {option}: {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Two options that don't go together.
    #[error("log option {0} has no effect with {1}: leave one of them out")]
    Conflict(&'static str, &'static str),
    /// A tag's template.
    #[error(transparent)]
    Tag(#[from] tag::InvalidTag),
}

fn known(driver: Driver) -> String {
    match driver.options() {
        [] => "it takes none".to_owned(),
        options => format!("there are {}", options.join(", ")),
    }
}

const DEFAULT_MAX_SIZE: u64 = 10 << 20;
const DEFAULT_MAX_FILE: u32 = 3;
const DEFAULT_BUFFER: u64 = 1 << 20;

impl Config {
    /// Decides how a container logs. An empty `driver` is the default one.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn new(
        driver: &str,
        options: &BTreeMap<String, String>,
        about: &About<'_>,
        dir: PathBuf,
    ) -> Result<Self, Invalid> {
        let driver = parse_driver(driver)?;
        if let Some(option) = options.keys().find(|option| !driver.options().contains(&option.as_str())) {
            return Err(Invalid::Option { driver, option: option.clone() });
        }
        let value = |name: &str| options.get(name).map(String::as_str);
        let max_size = value("max-size").map_or(Ok(Some(DEFAULT_MAX_SIZE)), max_size)?;
        let max_file = value("max-file").map_or(Ok(DEFAULT_MAX_FILE), max_file)?;
        let rotates = max_size.is_some() && max_file > 1;
        let compress = value("compress").map(|text| boolean("compress", text)).transpose()?;
        if compress == Some(true) && !rotates {
            let cause = if max_file == 1 { "max-file=1" } else { "max-size=-1" };
            return Err(Invalid::Conflict("compress", cause));
        }
        let mode = value("mode").map_or(Ok(Mode::default()), mode)?;
        if mode == Mode::Blocking && options.contains_key("max-buffer-size") {
            return Err(Invalid::Conflict("max-buffer-size", "mode=blocking"));
        }
        let max_buffer_size = match value("max-buffer-size") {
            None => DEFAULT_BUFFER,
            Some(text) => {
                let expected = "a size such as 4m";
                size(text, 1024).ok_or_else(|| invalid("max-buffer-size", text, expected))?
            }
        };
        let tag = value("tag").map(|template| tag::expand(template, about)).transpose()?;
        let mut attrs = attributes(options, about)?;
        attrs.extend(tag.iter().map(|tag| ("tag".to_owned(), tag.clone())));
        Ok(Self {
            driver,
            dir,
            id: about.id.to_owned(),
            name: about.name.to_owned(),
            image: about.image.to_owned(),
            max_size,
            max_file,
            compress: compress.unwrap_or(rotates),
            mode,
            max_buffer_size,
            tag,
            attrs,
        })
    }
}

fn parse_driver(name: &str) -> Result<Driver, Invalid> {
    let all = [Driver::Local, Driver::JsonFile, Driver::Journald, Driver::None];
    match name {
        "" => Ok(Driver::default()),
        name => all
            .into_iter()
            .find(|driver| driver.name() == name)
            .ok_or_else(|| Invalid::Driver(name.to_owned())),
    }
}

fn invalid(option: &'static str, value: &str, expected: &'static str) -> Invalid {
    Invalid::Value { option, value: value.to_owned(), expected }
}

fn max_size(text: &str) -> Result<Option<u64>, Invalid> {
    if text == "-1" {
        return Ok(None);
    }
    // Docker reads this one decimally.
    let bytes = size(text, 1000).filter(|bytes| *bytes > 0);
    bytes.map(Some).ok_or_else(|| invalid("max-size", text, "a size such as 10m, or -1 for no rotation"))
}

fn max_file(text: &str) -> Result<u32, Invalid> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| invalid("max-file", text, "a number from 1 on"))
}

fn boolean(option: &'static str, text: &str) -> Result<bool, Invalid> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(invalid(option, text, "true or false")),
    }
}

fn mode(text: &str) -> Result<Mode, Invalid> {
    match text {
        "" | "blocking" => Ok(Mode::Blocking),
        "non-blocking" => Ok(Mode::NonBlocking),
        _ => Err(invalid("mode", text, "blocking or non-blocking")),
    }
}

/// `10`, `10k`, `1.5MB`, `2 GiB`: with units of `base`.
fn size(text: &str, base: u64) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start();
    let power = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * (base.pow(power) as f64);
    // Every such size is far below 2^53.
    (bytes < 1e15).then_some(bytes as u64)
}

/// What labels and variables are kept: those named, and those whose name matches.
fn attributes(
    options: &BTreeMap<String, String>,
    about: &About<'_>,
) -> Result<BTreeMap<String, String>, Invalid> {
    let variables = about.env.iter().filter_map(|variable| variable.split_once('='));
    let labels = about.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let wanted_labels = wanted(options, "labels", "labels-regex")?;
    let wanted_variables = wanted(options, "env", "env-regex")?;
    let labels = labels.filter(|(name, _)| wanted_labels(name));
    let variables = variables.filter(|(name, _)| wanted_variables(name));
    Ok(labels.chain(variables).map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Tells the names that one option lists or another one matches.
fn wanted(
    options: &BTreeMap<String, String>,
    list: &str,
    pattern: &'static str,
) -> Result<impl Fn(&str) -> bool, Invalid> {
    let names: Vec<String> =
        options.get(list).into_iter().flat_map(|names| names.split(',')).map(str::to_owned).collect();
    let expected = "a regular expression";
    let regex =
        options.get(pattern).map(|text| Regex::new(text).map_err(|_| invalid(pattern, text, expected)));
    let regex = regex.transpose()?;
    Ok(move |name: &str| {
        names.iter().any(|listed| listed == name) || regex.as_ref().is_some_and(|regex| regex.is_match(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(driver: &str, options: &[(&str, &str)]) -> Result<Config, Invalid> {
        let labels = BTreeMap::from([("tier".to_owned(), "web".to_owned())]);
        let env = ["A=1".to_owned(), "B=x=y".to_owned()];
        let about = About {
            id: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            name: "box",
            image_id: "sha256:feedfacefeedface",
            image: "nginx:1",
            labels: &labels,
            env: &env,
        };
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::new(driver, &options, &about, PathBuf::from("/logs"))
    }

    fn complaint(driver: &str, options: &[(&str, &str)]) -> String {
        config(driver, options).unwrap_err().to_string()
    }

    #[test]
    fn rotation_is_the_default() {
        let local = config("", &[]).unwrap();
        assert_eq!(local.driver, Driver::Local);
        assert_eq!((local.max_size, local.max_file, local.compress), (Some(10 << 20), 3, true));
        assert_eq!(config("json-file", &[("max-size", "-1")]).unwrap().max_size, None);
        assert!(!config("json-file", &[("max-file", "1")]).unwrap().compress);
    }

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        let sizes = [("10m", 10_000_000), ("1.5kb", 1500), ("2 GiB", 2_000_000_000), ("77", 77)];
        for (text, bytes) in sizes {
            assert_eq!(config("local", &[("max-size", text)]).unwrap().max_size, Some(bytes), "{text}");
        }
        let buffer = [("mode", "non-blocking"), ("max-buffer-size", "4m")];
        assert_eq!(config("local", &buffer).unwrap().max_buffer_size, 4 << 20);
    }

    #[test]
    fn labels_variables_and_tag_become_attributes() {
        let options = [("labels", "tier,none"), ("env", "B"), ("tag", "{{.Name}}/{{.ID}}")];
        let attrs = config("json-file", &options).unwrap().attrs;
        let attrs: Vec<(&str, &str)> = attrs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(attrs, [("B", "x=y"), ("tag", "box/0123456789ab"), ("tier", "web")]);
        let options = [("labels-regex", "^t"), ("env-regex", "[AZ]")];
        let attrs = config("json-file", &options).unwrap().attrs;
        assert_eq!(attrs.keys().collect::<Vec<_>>(), ["A", "tier"]);
        assert!(complaint("local", &[("env-regex", "(")]).contains("env-regex"));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_there_is() {
        assert_eq!(
            complaint("fluentd", &[]),
            "unknown log driver \"fluentd\": there are local, json-file, journald, none"
        );
        assert_eq!(
            complaint("journald", &[("max-size", "1m")]),
            "unknown log option \"max-size\" for driver journald: there are env, env-regex, labels, labels-regex, \
             max-buffer-size, mode, tag"
        );
        assert_eq!(
            complaint("none", &[("tag", "x")]),
            "unknown log option \"tag\" for driver none: it takes none"
        );
        for wrong in [
            ("max-size", "0"),
            ("max-size", "-2"),
            ("max-size", "ten"),
            ("max-file", "0"),
            ("compress", "yes"),
            ("mode", "fast"),
        ] {
            assert!(complaint("local", &[wrong]).contains(wrong.0), "{wrong:?}");
        }
        assert!(complaint("local", &[("compress", "true"), ("max-file", "1")]).contains("max-file=1"));
        assert!(complaint("local", &[("max-buffer-size", "1m")]).contains("mode=blocking"));
    }
}
