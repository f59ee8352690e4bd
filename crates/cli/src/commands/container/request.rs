//! What `run` and `create` are asked for: flags → [`Request`] → [`CreateConfig`].
//!
//! Flags that say one thing each go straight into the configuration. Those that depend on others wait in the request until
//! all have been read, and [`Request::finish`] puts them together or says which contradict each other.

mod health;
mod host;
mod nest;
mod network;
mod process;
mod resources;
mod storage;

use std::path::PathBuf;

use engine::config::CreateConfig;
use oci::image::Platform;

use self::health::Health;
use super::mount::Volume;
use super::networks::{self, Network};
use super::ports::Ports;
use super::{env, security};
use crate::commands::flags::{Flag, Section};
use crate::commands::values::{integer, key_value};

/// When the image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    Always,
    #[default]
    Missing,
    Newer,
    Never,
}

/// A stream of the container that the client attaches to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

/// All that a command line asks for.
#[derive(Debug)]
pub struct Request {
    pub root: Option<PathBuf>,
    pub create: CreateConfig,
    pub name: Option<String>,
    pub platform: Option<Platform>,
    pub pull: Pull,
    pub quiet: bool,
    pub dry_run: bool,
    pub detach: bool,
    pub detach_keys: Option<String>,
    pub sig_proxy: bool,
    /// Where the profile of what it needs goes.
    pub learn: Option<PathBuf>,
    nest: bool,
    attach: Vec<Stream>,
    entrypoint: Option<String>,
    env: Vec<String>,
    env_files: Vec<String>,
    labels: Vec<String>,
    label_files: Vec<String>,
    volumes: Vec<String>,
    ports: Ports,
    networks: Vec<Network>,
    first_network: networks::First,
    health: Health,
    security: Vec<String>,
    log_options: Vec<String>,
}

impl Default for Request {
    fn default() -> Self {
        Request {
            root: None,
            create: CreateConfig::default(),
            name: None,
            platform: None,
            pull: Pull::default(),
            quiet: false,
            dry_run: false,
            detach: false,
            detach_keys: None,
            sig_proxy: true,
            learn: None,
            nest: false,
            attach: Vec::new(),
            entrypoint: None,
            env: Vec::new(),
            env_files: Vec::new(),
            labels: Vec::new(),
            label_files: Vec::new(),
            volumes: Vec::new(),
            ports: Ports::default(),
            networks: Vec::new(),
            first_network: networks::First::default(),
            health: Health::default(),
            security: Vec::new(),
            log_options: Vec::new(),
        }
    }
}

/// A flag of `run` or `create`.
type RequestFlag = Flag<Request>;

/// The flags of `create`.
pub const CREATE: &[Section<Request>] = &[
    Section { heading: "Options", flags: OPTIONS },
    process::SECTION,
    health::SECTION,
    storage::SECTION,
    network::SECTION,
    resources::SECTION,
    resources::AT_CREATION,
    resources::DEVICES,
    host::SECTION,
];

/// The flags of `run`.
pub const RUN: &[Section<Request>] = &[
    Section { heading: "Options", flags: RUN_OPTIONS },
    Section { heading: "Options", flags: OPTIONS },
    process::SECTION,
    health::SECTION,
    storage::SECTION,
    network::SECTION,
    resources::SECTION,
    resources::AT_CREATION,
    resources::DEVICES,
    host::SECTION,
];

/// The flags of `update`.
pub const UPDATE: &[Section<Request>] =
    &[Section { heading: "Options", flags: &[RESTART, ROOT] }, resources::SECTION];

const RUN_OPTIONS: &[Flag<Request>] = &[
    RequestFlag::switch("detach", "Run in the background and print the container's id", |request, on| {
        request.detach = on;
    })
    .short('d'),
    RequestFlag::value(
        "detach-keys",
        "KEYS",
        "The keys that detach a terminal [default: ctrl-p,ctrl-q]",
        |request, value| {
            request.detach_keys = Some(value.to_owned());
            Ok(())
        },
    ),
    RequestFlag::value(
        "sig-proxy",
        "BOOL",
        "Pass signals on to the container [default: true]",
        |request, value| {
            request.sig_proxy = crate::commands::flags::boolean(value)?;
            Ok(())
        },
    ),
    RequestFlag::value(
        "learn",
        "FILE",
        "Find out what the program needs: print the flags that give it no more, and write its seccomp profile",
        |request, value| {
            request.learn = Some(value.into());
            Ok(())
        },
    ),
];

const OPTIONS: &[Flag<Request>] = &[
    RequestFlag::value("name", "NAME", "The container's name", |request, value| {
        request.name = Some(value.to_owned());
        Ok(())
    }),
    RequestFlag::switch(
        "rm",
        "Remove the container and its anonymous volumes when it ends",
        |request, on| {
            request.create.host_config.auto_remove = on;
        },
    ),
    RESTART,
    RequestFlag::switch("dry-run", "Print what would be done, in order, and do nothing", |request, on| {
        request.dry_run = on;
    }),
    RequestFlag::value("cidfile", "FILE", "Write the container's id to a file", |request, value| {
        value.clone_into(&mut request.create.host_config.container_id_file);
        Ok(())
    }),
    RequestFlag::value("label", "NAME[=VALUE]", "Set a label", |request, value| {
        check_label(value)?;
        request.labels.push(value.to_owned());
        Ok(())
    })
    .short('l'),
    RequestFlag::value("label-file", "FILE", "Read labels from a file, one a line", |request, value| {
        request.label_files.push(value.to_owned());
        Ok(())
    }),
    RequestFlag::value(
        "annotation",
        "NAME=VALUE",
        "Set an annotation, which the OCI runtime sees",
        |request, value| {
            let (name, text) = value.split_once('=').ok_or("expected NAME=VALUE")?;
            request.create.host_config.annotations.insert(name.to_owned(), text.to_owned());
            Ok(())
        },
    ),
    RequestFlag::value(
        "platform",
        "PLATFORM",
        "The platform of the image, as os/architecture[/variant]",
        |request, value| {
            request.platform = Some(value.parse::<Platform>().map_err(|error| error.to_string())?);
            Ok(())
        },
    ),
    RequestFlag::value(
        "pull",
        "WHEN",
        "When to pull the image: always, missing, newer, never [default: missing]",
        |request, value| {
            request.pull = match value {
                "always" => Pull::Always,
                "missing" | "" => Pull::Missing,
                "newer" => Pull::Newer,
                "never" => Pull::Never,
                _ => {
                    return Err(format!(
                        "invalid pull option: '{value}': must be one of \"always\", \"missing\", \"newer\" or \"never\""
                    ));
                }
            };
            Ok(())
        },
    ),
    RequestFlag::switch("quiet", "Don't show how a pull proceeds", |request, on| request.quiet = on)
        .short('q'),
    RequestFlag::value(
        "log-driver",
        "DRIVER",
        "Where output goes: local, json-file, journald, none",
        |request, value| {
            value.clone_into(&mut request.create.host_config.log_config.r#type);
            Ok(())
        },
    ),
    RequestFlag::value("log-opt", "NAME=VALUE", "An option of the log driver", |request, value| {
        request.log_options.push(value.to_owned());
        Ok(())
    }),
    ROOT,
];

const RESTART: RequestFlag = RequestFlag::value(
    "restart",
    "POLICY",
    "What happens when it ends: no, on-failure[:N], always, unless-stopped",
    |request, value| {
        let policy = &mut request.create.host_config.restart_policy;
        (policy.name, policy.maximum_retry_count) = restart_policy(value)?;
        Ok(())
    },
);

const ROOT: RequestFlag =
    RequestFlag::value("root", "DIR", "Where images and containers are kept", |request, value| {
        request.root = Some(value.into());
        Ok(())
    });

fn check_label(text: &str) -> Result<(), String> {
    match text.split('=').next() {
        None | Some("") => Err(format!("invalid label '{text}': empty name")),
        Some(_) => Ok(()),
    }
}

/// Name and retries of a restart policy.
pub fn restart_policy(text: &str) -> Result<(String, i64), String> {
    let (name, retries) = text.split_once(':').map_or((text, None), |(name, retries)| (name, Some(retries)));
    match (name, retries) {
        ("", Some(_)) => Err("invalid restart policy format: no policy provided before colon".to_owned()),
        ("on-failure", Some(retries)) => match integer::<i64>(retries) {
            Ok(retries) if retries >= 0 => Ok((name.to_owned(), retries)),
            Ok(_) => Err("invalid restart policy: maximum retry count cannot be negative".to_owned()),
            Err(_) => Err("invalid restart policy format: maximum retry count must be an integer".to_owned()),
        },
        ("no" | "always" | "unless-stopped", Some(_)) => {
            Err("invalid restart policy: maximum retry count can only be used with 'on-failure'".to_owned())
        }
        ("" | "no" | "always" | "unless-stopped" | "on-failure", None) => Ok((name.to_owned(), 0)),
        _ => Err(format!(
            "invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or \
             'unless-stopped'"
        )),
    }
}

impl Request {
    /// The request with image and command, after all flags were read. The second is what nobody may ask for together.
    pub fn finish(mut self, image: &str, command: &[&str]) -> Result<Request, String> {
        if self.nest {
            self.allow_nesting()?;
        }
        self.finish_process(image, command)?;
        self.finish_streams()?;
        self.finish_storage()?;
        self.finish_observation()?;
        let (config, host) = (&mut self.create.config, &mut self.create.host_config);
        config.exposed_ports = std::mem::take(&mut self.ports.exposed);
        host.port_bindings = std::mem::take(&mut self.ports.bindings);
        config.healthcheck = std::mem::take(&mut self.health).resolve()?;
        host.links = self.first_network.links.clone();
        let networks = std::mem::take(&mut self.networks);
        let (mode, endpoints) = networks::resolve(networks, std::mem::take(&mut self.first_network))?;
        host.network_mode = mode;
        self.create.networking_config.endpoints_config = endpoints;
        let security = security::resolve(&self.security)?;
        host.security_opt = security.options;
        if security.system_paths_unconfined {
            host.masked_paths = Some(Vec::new());
            host.readonly_paths = Some(Vec::new());
        }
        let logs = &mut host.log_config;
        if logs.r#type == "none" && !self.log_options.is_empty() {
            return Err("invalid logging opts for driver none".to_owned());
        }
        logs.config = self.log_options.iter().map(|option| key_value(option)).collect();
        if host.auto_remove && !matches!(host.restart_policy.name.as_str(), "" | "no") {
            return Err("conflicting options: cannot specify both --restart and --rm".to_owned());
        }
        Ok(self)
    }

    fn finish_process(&mut self, image: &str, command: &[&str]) -> Result<(), String> {
        let config = &mut self.create.config;
        image.clone_into(&mut config.image);
        if !command.is_empty() {
            config.cmd = Some(command.iter().map(|&word| word.to_owned()).collect());
        }
        // An empty one takes the image's away.
        config.entrypoint = match self.entrypoint.take() {
            Some(entrypoint) if entrypoint.is_empty() => Some(Vec::new()),
            entrypoint => entrypoint.map(|entrypoint| vec![entrypoint]),
        };
        config.env = env::variables(&self.env_files, &self.env, env::of_client)?;
        config.labels =
            env::labels(&self.label_files, &self.labels)?.iter().map(|label| key_value(label)).collect();
        Ok(())
    }

    /// Which streams the client gets: output where nothing is said, nothing in the background.
    fn finish_streams(&mut self) -> Result<(), String> {
        if self.detach && !self.attach.is_empty() {
            return Err("conflicting options: cannot specify both --attach and --detach".to_owned());
        }
        let config = &mut self.create.config;
        let named = |stream| self.attach.contains(&stream);
        config.attach_stdin = !self.detach && (config.open_stdin || named(Stream::Stdin));
        config.attach_stdout = !self.detach && (self.attach.is_empty() || named(Stream::Stdout));
        config.attach_stderr = !self.detach && (self.attach.is_empty() || named(Stream::Stderr));
        config.stdin_once = config.open_stdin && config.attach_stdin;
        Ok(())
    }

    /// Needs are known when the program has ended, and somebody must be there to be told.
    fn finish_observation(&mut self) -> Result<(), String> {
        let observe = &mut self.create.host_config.observe;
        match (&self.learn, self.detach, *observe) {
            (None, ..) => return Ok(()),
            (Some(_), true, _) => {
                return Err(
                    "conflicting options: --learn needs the foreground: leave out --detach".to_owned()
                );
            }
            (Some(_), _, Some(_)) => {
                return Err(
                    "conflicting options: --learn and --explain-denials: use one after the other".to_owned()
                );
            }
            (Some(_), false, None) => *observe = Some(engine::config::Observe::Needs),
        }
        Ok(())
    }

    fn finish_storage(&mut self) -> Result<(), String> {
        for volume in &self.volumes {
            match super::mount::parse_volume(volume)? {
                Volume::Bind(bind) => self.create.host_config.binds.push(bind),
                Volume::Anonymous(path) => {
                    self.create.config.volumes.insert(path, engine::config::Empty {});
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
