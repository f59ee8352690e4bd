//! Import: a root file system in a tar archive → an image of one layer.

use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use oci::Reference;
use oci::image::config::Empty;
use oci::image::{
    Algorithm, Compression, ContainerConfig, Descriptor, Digest, Hasher, History, ImageConfig, Manifest,
    Platform, RootFs, media_type,
};

use crate::archive::decompress;
use crate::{Error, Images, Result};

/// What the new image is like.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The note in its history.
    pub message: String,
    /// What it runs on.
    pub platform: Platform,
    /// What its containers run.
    pub config: ContainerConfig,
    /// When it was made.
    pub created: SystemTime,
}

/// Why an instruction can't be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Not one that changes an image's configuration.
    #[error(
        "{0:?} is no instruction that changes a configuration; those are CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, \
         ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR"
    )]
    Unknown(String),
    /// Its arguments are wrong.
    #[error("{instruction}: {reason}")]
    Malformed {
        /// The instruction.
        instruction: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Images {
    /// Imports the archive `input`, compressed or not; `label` names it in errors and history.
    pub fn import(
        &self,
        label: &str,
        mut input: impl Read,
        name: Option<&Reference>,
        options: ImportOptions,
    ) -> Result<Digest> {
        let lease = self.store().lease()?;
        let mut ingest = lease.ingest_unnamed(media_type::OCI_LAYER)?;
        let mut buffer = vec![0; 256 << 10];
        let mut start = Vec::new();
        loop {
            let read = input.read(&mut buffer).map_err(|source| Error::io("read", label, source))?;
            if read == 0 {
                break;
            }
            if start.is_empty() {
                start = buffer[..read.min(4)].to_vec();
            }
            ingest.append(&buffer[..read])?;
        }
        let compression = Compression::detect(&start);
        let blob = ingest.commit()?;
        let layer = Descriptor::new(compression.oci_layer(), blob.digest, blob.size);
        let diff_id = match compression {
            Compression::None => blob.digest,
            _ => inflated_digest(blob.file).map_err(|source| Error::io("inflate", label, source))?,
        };
        let config = config(label, diff_id, &options);
        let bytes = serde_json::to_vec(&config).expect("a configuration becomes JSON");
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config: lease.put(media_type::OCI_CONFIG, &bytes)?,
            layers: vec![layer],
            subject: None,
            annotations: Default::default(),
        };
        self.unpack(&manifest, &config)?;
        let bytes = serde_json::to_vec(&manifest).expect("a manifest becomes JSON");
        let target = lease.put(media_type::OCI_MANIFEST, &bytes)?;
        self.store().update_references(|references| match name {
            Some(name) => references.set(&name.to_string(), &target),
            None => references.add_dangling(&target),
        })?;
        Ok(manifest.config.digest)
    }
}

fn inflated_digest(compressed: impl Read + Send) -> std::io::Result<Digest> {
    let mut stream = decompress(compressed)?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

fn config(label: &str, diff_id: Digest, options: &ImportOptions) -> ImageConfig {
    let since = options.created.duration_since(UNIX_EPOCH).unwrap_or_default();
    let created = oci::time::rfc3339(since.as_secs() as i64);
    let comment = match options.message.as_str() {
        "" => format!("Imported from {label}"),
        message => message.to_owned(),
    };
    ImageConfig {
        created: Some(created.clone()),
        platform: options.platform.clone(),
        config: options.config.clone(),
        rootfs: RootFs { diff_ids: vec![diff_id], ..RootFs::default() },
        history: vec![History { created: Some(created), comment: Some(comment), ..History::default() }],
        ..ImageConfig::default()
    }
}

/// Follows a Dockerfile's instruction that changes a configuration, as `--change` takes them.
pub fn apply_change(config: &mut ContainerConfig, change: &str) -> std::result::Result<(), ImportError> {
    let change = change.trim();
    let (instruction, arguments) = change.split_once(char::is_whitespace).unwrap_or((change, ""));
    let (instruction, arguments) = (instruction.to_ascii_uppercase(), arguments.trim());
    let malformed = |reason| ImportError::Malformed { instruction: instruction.clone(), reason };
    if arguments.is_empty() && !instruction.is_empty() {
        return Err(malformed("has no argument"));
    }
    match instruction.as_str() {
        "CMD" => config.cmd = Some(command(arguments)),
        "ENTRYPOINT" => config.entrypoint = Some(command(arguments)),
        "ENV" => {
            for (name, value) in pairs(arguments).ok_or_else(|| malformed("wants NAME=VALUE"))? {
                config.env.retain(|known| known.split('=').next() != Some(&name));
                config.env.push(format!("{name}={value}"));
            }
        }
        "LABEL" => config.labels.extend(pairs(arguments).ok_or_else(|| malformed("wants NAME=VALUE"))?),
        "EXPOSE" => {
            for port in arguments.split_whitespace() {
                let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
                if number.parse::<u16>().is_err() || !matches!(protocol, "tcp" | "udp" | "sctp") {
                    return Err(malformed("wants PORT[/tcp|udp|sctp]"));
                }
                config.exposed_ports.insert(format!("{number}/{protocol}"), Empty {});
            }
        }
        "VOLUME" => {
            let paths = serde_json::from_str::<Vec<String>>(arguments)
                .unwrap_or_else(|_| arguments.split_whitespace().map(str::to_owned).collect());
            config.volumes.extend(paths.into_iter().map(|path| (path, Empty {})));
        }
        "ONBUILD" => config.on_build.get_or_insert_default().push(arguments.to_owned()),
        "STOPSIGNAL" => config.stop_signal = Some(arguments.to_owned()),
        "USER" => arguments.clone_into(&mut config.user),
        "WORKDIR" => match arguments.starts_with('/') {
            true => arguments.clone_into(&mut config.working_dir),
            false => config.working_dir = format!("{}/{arguments}", config.working_dir.trim_end_matches('/')),
        },
        _ => return Err(ImportError::Unknown(change.to_owned())),
    }
    Ok(())
}

/// The JSON form, or the shell form.
fn command(arguments: &str) -> Vec<String> {
    let shell = || vec!["/bin/sh".to_owned(), "-c".to_owned(), arguments.to_owned()];
    serde_json::from_str(arguments).unwrap_or_else(|_| shell())
}

/// `A=b C="d e"`, or the old `A b`.
fn pairs(arguments: &str) -> Option<Vec<(String, String)>> {
    let words = words(arguments);
    if words.first().is_some_and(|word| !word.contains('=')) {
        let (name, value) = arguments.split_once(char::is_whitespace)?;
        return Some(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    words
        .iter()
        .map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect()
}

/// Splits at blanks outside of quotes, which are removed.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                open.get_or_insert_default();
            }
            (Some('"') | None, '\\') => open.get_or_insert_default().extend(chars.next()),
            (None, c) if c.is_whitespace() => words.extend(open.take()),
            (_, c) => open.get_or_insert_default().push(c),
        }
    }
    words.extend(open);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> ContainerConfig {
        let mut config = ContainerConfig::default();
        changes.iter().for_each(|change| apply_change(&mut config, change).unwrap());
        config
    }

    #[test]
    fn instructions_change_the_configuration() {
        let config = changed(&[
            r#"CMD ["a", "b"]"#,
            "entrypoint a b",
            r#"ENV A=1 B="two words""#,
            "ENV A 3 4",
            "EXPOSE 80 53/udp",
            "LABEL x=y",
            r#"VOLUME ["/data"]"#,
            "WORKDIR /a",
            "WORKDIR b",
            "USER 1:1",
        ]);
        assert_eq!(config.cmd.unwrap(), ["a", "b"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "a b"]);
        assert_eq!(config.env, ["B=two words", "A=3 4"]);
        assert_eq!(config.exposed_ports.keys().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
        assert_eq!(config.working_dir, "/a/b");
        assert_eq!(config.volumes.len() + config.labels.len(), 2);
    }

    #[test]
    fn mistakes_are_told() {
        for change in ["RUN x", "CMD", "ENV A", "EXPOSE 99999", "EXPOSE 1/icmp", ""] {
            assert!(apply_change(&mut ContainerConfig::default(), change).is_err(), "{change}");
        }
    }
}
