//! `cargo xtask arrows`: the house. Arrows point downward only; any other edge fails.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::process::{self, Context, Failure, Outcome};

/// Who lives in the house and whom each may use, from the roof down. A word in capitals stands for a
/// whole floor. Dev-dependencies may also point at `testkit`.
const HOUSE: &[(&str, &str, &str)] = &[
    // floor, crate, may use
    ("FRONT", "cli", "api cri toolbox ENGINE PARTS BASE KERNEL"),
    ("FRONT", "api", "ENGINE KERNEL"),
    ("FRONT", "cri", "engine KERNEL"),
    ("FRONT", "toolbox", "KERNEL"),
    ("ENGINE", "build", "PARTS BASE KERNEL"),
    ("ENGINE", "engine", "PARTS BASE KERNEL"),
    ("PARTS", "monitor", "runtime KERNEL"),
    ("PARTS", "network", "KERNEL"),
    ("PARTS", "image", "hello registry store snapshot KERNEL"),
    ("BASE", "runtime", "KERNEL"),
    ("BASE", "rootless", "KERNEL"),
    ("BASE", "hello", "capability"),
    ("BASE", "init", ""),
    ("BASE", "observe", "KERNEL"),
    ("BASE", "registry", "oci"),
    ("BASE", "store", "oci"),
    ("BASE", "snapshot", "oci sys"),
    ("KERNEL", "namespace", "sys oci"),
    ("KERNEL", "capability", "sys oci"),
    ("KERNEL", "seccomp", "sys oci"),
    ("KERNEL", "cgroup", "sys oci"),
    ("KERNEL", "oci", ""),
    ("KERNEL", "sys", ""),
    ("DEV", "bench", "FRONT ENGINE PARTS BASE KERNEL testkit"),
    ("DEV", "proof", "FRONT ENGINE PARTS BASE KERNEL testkit"),
    ("DEV", "testkit", "FRONT ENGINE PARTS BASE KERNEL"),
    ("DEV", "xtask", ""),
];

/// An edge between two crates of the workspace.
#[derive(Debug, PartialEq, Eq)]
struct Edge {
    from: String,
    to: String,
    dev: bool,
}

/// Fails on a crate that is not in the house, and on an edge that the house does not allow.
pub fn run(_: &[String]) -> Outcome {
    let text = process::read(process::cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
    let crates = crate_names(&metadata);
    let edges = edges(&metadata);
    let complaints = complaints(&crates, &edges);
    if complaints.is_empty() {
        println!("arrows: {} crates, {} edges, all of them point downward", crates.len(), edges.len());
        return Ok(());
    }
    Err(Failure::new(format!("{}\n(the house stands in xtask/src/arrows.rs)", complaints.join("\n"))))
}

fn crate_names(metadata: &Value) -> BTreeSet<String> {
    packages(metadata).filter_map(name).collect()
}

fn edges(metadata: &Value) -> Vec<Edge> {
    let mut edges = Vec::new();
    for package in packages(metadata) {
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        for dependency in dependencies.filter(|dependency| dependency["path"].is_string()) {
            if let (Some(from), Some(to)) = (name(package), name(dependency)) {
                edges.push(Edge { from, to, dev: dependency["kind"] == "dev" });
            }
        }
    }
    edges
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

fn name(package: &Value) -> Option<String> {
    package["name"].as_str().map(str::to_owned)
}

fn complaints(crates: &BTreeSet<String>, edges: &[Edge]) -> Vec<String> {
    let strangers = crates
        .iter()
        .filter(|name| resident(name).is_none())
        .map(|name| format!("crate `{name}` has no place in the house"));
    let forbidden = edges
        .iter()
        .filter(|edge| resident(&edge.from).is_some() && !allowed(edge))
        .map(|edge| format!("`{}` must not use `{}`", edge.from, edge.to));
    strangers.chain(forbidden).collect()
}

fn allowed(edge: &Edge) -> bool {
    if edge.dev && edge.to == "testkit" {
        return true;
    }
    let Some((_, _, may_use)) = resident(&edge.from) else { return false };
    let floor = resident(&edge.to).map(|(floor, _, _)| *floor);
    may_use.split_whitespace().any(|word| word == edge.to || Some(word) == floor)
}

fn resident(name: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    HOUSE.iter().find(|(_, resident, _)| *resident == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str, dev: bool) -> Edge {
        Edge { from: from.into(), to: to.into(), dev }
    }

    fn complaints_about(from: &str, to: &str, dev: bool) -> Vec<String> {
        complaints(&BTreeSet::new(), &[edge(from, to, dev)])
    }

    #[test]
    fn downward_edges_pass() {
        assert!(complaints_about("runtime", "sys", false).is_empty());
        assert!(complaints_about("cli", "runtime", false).is_empty());
        assert!(complaints_about("image", "store", false).is_empty());
    }

    #[test]
    fn upward_and_sideways_edges_fail() {
        assert_eq!(complaints_about("sys", "runtime", false), ["`sys` must not use `runtime`"]);
        assert_eq!(complaints_about("store", "registry", false), ["`store` must not use `registry`"]);
        assert_eq!(complaints_about("oci", "sys", true), ["`oci` must not use `sys`"]);
    }

    #[test]
    fn only_tests_use_testkit() {
        assert!(complaints_about("sys", "testkit", true).is_empty());
        assert_eq!(complaints_about("sys", "testkit", false), ["`sys` must not use `testkit`"]);
    }

    #[test]
    fn a_crate_without_a_place_is_named() {
        let crates = BTreeSet::from(["utils".to_owned()]);
        assert_eq!(complaints(&crates, &[]), ["crate `utils` has no place in the house"]);
    }

    #[test]
    fn every_allowed_edge_points_to_a_lower_row() {
        for (row, (_, name, may_use)) in HOUSE.iter().enumerate() {
            for word in may_use.split_whitespace() {
                let is_above =
                    |(floor, resident, _): &&(&str, &str, &str)| *floor == word || *resident == word;
                let above = HOUSE[..row].iter().find(is_above);
                assert!(above.is_none() || HOUSE[row].0 == "DEV", "{name} points upward at {word}");
            }
        }
    }
}
