//! One file of a vendor.

use std::path::Path;

use serde::{Deserialize, Deserializer};
use yaml_rust2::{Yaml, YamlLoader};

use super::CdiError;

/// More of a file than this is not read.
const LIMIT: u64 = 4 << 20;

/// A file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// Version of the specification.
    pub cdi_version: String,
    /// `VENDOR/CLASS`.
    pub kind: String,
    /// Its devices.
    #[serde(default, deserialize_with = "nullable")]
    pub devices: Vec<NamedDevice>,
    /// What each container gets that has any of its devices.
    #[serde(default, deserialize_with = "nullable")]
    pub container_edits: ContainerEdits,
}

/// A device.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct NamedDevice {
    pub name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub container_edits: ContainerEdits,
}

/// What is changed in a container's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct ContainerEdits {
    #[serde(deserialize_with = "nullable")]
    pub env: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub device_nodes: Vec<DeviceNode>,
    #[serde(deserialize_with = "nullable")]
    pub mounts: Vec<EditMount>,
    #[serde(deserialize_with = "nullable")]
    pub hooks: Vec<EditHook>,
    #[serde(rename = "additionalGids", alias = "additionalGIDs", deserialize_with = "nullable")]
    pub additional_gids: Vec<u32>,
}

/// A device node; what is not said is that of the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct DeviceNode {
    pub path: String,
    pub host_path: Option<String>,
    pub r#type: Option<String>,
    pub major: Option<i64>,
    pub minor: Option<i64>,
    pub file_mode: Option<u32>,
    pub permissions: Option<String>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// A mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct EditMount {
    pub host_path: String,
    pub container_path: String,
    pub r#type: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub options: Vec<String>,
}

/// A hook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)]
pub struct EditHook {
    pub hook_name: String,
    pub path: String,
    #[serde(deserialize_with = "nullable")]
    pub args: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub env: Vec<String>,
    pub timeout: Option<i64>,
}

impl Document {
    /// Reads a file, JSON or YAML by its name.
    ///
    /// # Errors
    /// It is neither, or not CDI's.
    pub fn read(path: &Path) -> Result<Document, CdiError> {
        let fail = |problem: String| CdiError::File { path: path.display().to_string(), problem };
        let size = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
        if size > LIMIT {
            return Err(fail(format!("it has {size} bytes: the limit is 4 MiB")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        Document::parse(&text, is_json).map_err(fail)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, is_json: bool) -> Result<Document, String> {
        let value = match is_json {
            true => serde_json::from_str(text).map_err(|error| error.to_string())?,
            false => json(&one(text)?),
        };
        let document: Document = serde_json::from_value(value).map_err(|error| error.to_string())?;
        if super::split(&format!("{}=x", document.kind)).is_none() {
            return Err(format!("kind {:?} is not VENDOR/CLASS", document.kind));
        }
        let version = document.cdi_version.trim_start_matches('v');
        if !(version.starts_with("0.") || version.starts_with("1.")) {
            return Err(format!("cdiVersion {:?} is not known: 0.x and 1.x are", document.cdi_version));
        }
        Ok(document)
    }
}

fn one(text: &str) -> Result<Yaml, String> {
    let mut documents = YamlLoader::load_from_str(text).map_err(|error| error.to_string())?;
    match documents.len() {
        1 => Ok(documents.remove(0)),
        many => Err(format!("it has {many} documents: one is expected")),
    }
}

/// The same in JSON's terms; keys are texts.
fn json(yaml: &Yaml) -> serde_json::Value {
    use serde_json::Value;
    match yaml {
        Yaml::String(text) => Value::String(text.clone()),
        Yaml::Integer(number) => Value::from(*number),
        Yaml::Real(text) => text.parse::<f64>().map_or_else(|_| Value::String(text.clone()), Value::from),
        Yaml::Boolean(value) => Value::Bool(*value),
        Yaml::Array(items) => Value::Array(items.iter().map(json).collect()),
        Yaml::Hash(map) => {
            let key = |key: &Yaml| match key {
                Yaml::String(text) => text.clone(),
                other => json(other).to_string(),
            };
            Value::Object(map.iter().map(|(name, value)| (key(name), json(value))).collect())
        }
        Yaml::Null | Yaml::BadValue | Yaml::Alias(_) => Value::Null,
    }
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "---
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: \"0\"
  containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
      major: 195
- name: all
  containerEdits: {}
containerEdits:
  env:
  - NVIDIA_VISIBLE_DEVICES=void
  hooks:
  - hookName: createContainer
    path: /usr/bin/nvidia-cdi-hook
    args: [nvidia-cdi-hook, update-ldcache, --folder, /usr/lib]
  mounts:
  - hostPath: /usr/lib/libcuda.so
    containerPath: /usr/lib/libcuda.so
    options:
    - ro
    - nosuid
";

    #[test]
    fn yaml_and_json_say_the_same() {
        let document = Document::parse(YAML, false).unwrap();
        assert_eq!((document.kind.as_str(), document.devices.len()), ("nvidia.com/gpu", 2));
        assert_eq!(document.devices[0].container_edits.device_nodes[0].major, Some(195));
        assert_eq!(document.container_edits.mounts[0].options, ["ro", "nosuid"]);
        let as_json = json(&one(YAML).unwrap()).to_string();
        let again = Document::parse(&as_json, true).unwrap();
        assert_eq!(again.container_edits, document.container_edits);
    }

    #[test]
    fn what_is_no_cdi_file_is_told() {
        for (text, part) in [
            ("kind: a/b", "cdiVersion"),
            ("cdiVersion: 9.0.0\nkind: a/b", "9.0.0"),
            ("cdiVersion: 0.5.0\nkind: gpu", "VENDOR/CLASS"),
            ("a: [", ""),
            ("--- a\n--- b", "2 documents"),
        ] {
            let error = Document::parse(text, false).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
