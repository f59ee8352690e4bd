//! A bill of materials (CycloneDX 1.5): the crates that are compiled into the binary, from cargo's own resolution.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::process::{self, Context, Failure, Outcome, cargo};

/// Its text, the same for the same Cargo.lock.
pub fn write(version: &str) -> Outcome<String> {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = ["metadata", "--format-version", "1", "--locked", "--filter-platform", &host];
    let text = process::read(cargo().args(metadata))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
    let lock = std::fs::read_to_string(process::root().join("Cargo.lock")).context("read Cargo.lock")?;
    let bill = bill(&metadata, &checksums(&lock), version)
        .ok_or_else(|| Failure::new("cargo knows no crate cli"))?;
    serde_json::to_string_pretty(&bill).map(|text| text + "\n").context("write the bill of materials")
}

fn bill(metadata: &Value, checksums: &BTreeMap<(String, String), String>, version: &str) -> Option<Value> {
    let packages = metadata["packages"].as_array()?;
    let root = packages.iter().find(|package| package["name"] == "cli")?["id"].as_str()?;
    let used = reached(metadata, root)?;
    let mut components: Vec<Value> = packages
        .iter()
        .filter(|package| package["id"].as_str().is_some_and(|id| id != root && used.contains(id)))
        .map(|package| component(package, checksums))
        .collect();
    components.sort_by_key(|component| component["bom-ref"].to_string());
    let berth = json!({"type": "application", "bom-ref": "berth", "name": "berth", "version": version});
    Some(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": berth},
        "components": components,
    }))
}

/// The ids of what is compiled into `root`: dependencies that are for tests alone are not.
fn reached(metadata: &Value, root: &str) -> Option<BTreeSet<String>> {
    let nodes = metadata["resolve"]["nodes"].as_array()?;
    let by_id: BTreeMap<&str, &Value> =
        nodes.iter().filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let (mut reached, mut ahead) = (BTreeSet::new(), vec![root]);
    while let Some(id) = ahead.pop() {
        if !reached.insert(id.to_owned()) {
            continue;
        }
        for dependency in by_id.get(id)?["deps"].as_array()? {
            let kinds = dependency["dep_kinds"].as_array()?;
            if kinds.iter().any(|kind| kind["kind"] != "dev") {
                ahead.push(dependency["pkg"].as_str()?);
            }
        }
    }
    Some(reached)
}

fn component(package: &Value, checksums: &BTreeMap<(String, String), String>) -> Value {
    let field = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
    let (name, version) = (field("name"), field("version"));
    let purl = format!("pkg:cargo/{name}@{version}");
    let mut component = json!({"type": "library", "bom-ref": purl, "name": name, "version": version});
    if package["source"].is_string() {
        component["purl"] = json!(purl);
    }
    if package["license"].is_string() {
        component["licenses"] = json!([{"expression": field("license").replace('/', " OR ")}]);
    }
    if let Some(checksum) = checksums.get(&(name, version)) {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    component
}

/// The checksums in a lock file, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |package: &str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|text| text.trim_matches('"').to_owned())
    };
    lock.split("[[package]]")
        .filter_map(|package| {
            Some(((value(package, "name")?, value(package, "version")?), value(package, "checksum")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_compiled_in_is_listed() {
        let metadata = json!({
            "packages": [
                {"name": "cli", "version": "1.0.0", "id": "cli"},
                {"name": "used", "version": "2.0.0", "id": "used", "source": "registry", "license": "MIT/Apache-2.0"},
                {"name": "tested", "version": "3.0.0", "id": "tested", "source": "registry"},
            ],
            "resolve": {"nodes": [
                {"id": "cli", "deps": [
                    {"pkg": "used", "dep_kinds": [{"kind": null}]},
                    {"pkg": "tested", "dep_kinds": [{"kind": "dev"}]},
                ]},
                {"id": "used", "deps": []},
                {"id": "tested", "deps": []},
            ]},
        });
        let lock = "[[package]]\nname = \"used\"\nversion = \"2.0.0\"\nchecksum = \"abc\"\n";
        let bill = bill(&metadata, &checksums(lock), "1.0.0").unwrap();
        let components = bill["components"].as_array().unwrap();
        assert_eq!(components.len(), 1);
        assert_eq!(components[0]["purl"], "pkg:cargo/used@2.0.0");
        assert_eq!(components[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(components[0]["hashes"][0]["content"], "abc");
    }
}
