//! Which crate may use which: the direction of the house.

use serde_json::Value;

pub(super) const RULE: &str = "crates depend in one direction, and I/O stays at the edges";

/// Each crate of ours and the ones that it may use. A crate that is not listed may not exist.
pub(super) const ALLOWED: &[(&str, &[&str])] = &[
    ("ums-core", &[]),
    ("ums-config", &["ums-core"]),
    ("ums-content", &["ums-core"]),
    ("ums-delivery", &["ums-core", "ums-content"]),
    ("ums-providers", &["ums-core"]),
    ("ums-store", &["ums-core"]),
    ("ums-story", &["ums-core"]),
    (
        "unified-messaging",
        &[
            "ums-core",
            "ums-config",
            "ums-content",
            "ums-delivery",
            "ums-providers",
            "ums-store",
        ],
    ),
    ("ums-server", &["ums-core", "ums-config", "ums-delivery", "ums-story"]),
    ("ums-simulator", &[]),
    (
        "ums",
        &[
            "ums-core",
            "ums-config",
            "ums-content",
            "ums-delivery",
            "ums-providers",
            "ums-store",
            "ums-story",
            "ums-server",
            "ums-simulator",
            "unified-messaging",
        ],
    ),
    ("ums-testkit", &["ums-core"]),
    ("xtask", &[]),
];

/// What any crate may use in its tests: the doubles, the other ends, and the in-memory store.
const IN_TESTS: &[&str] = &["ums-testkit", "ums-simulator", "ums-store"];

/// Crates of others, and the only crates of ours that may name them.
const CONFINED: &[(&str, &[&str])] = &[
    ("rusqlite", &["ums-store"]),
    ("sqlx", &["ums-store"]),
    ("lettre", &["ums-providers"]),
    ("reqwest", &["ums-providers"]),
    ("aws-config", &["ums-providers"]),
    ("aws-sigv4", &["ums-providers"]),
    ("axum", &["ums-server"]),
    ("hyper", &["ums-providers", "ums-server", "ums-simulator", "ums", "xtask"]),
    ("hyper-util", &["ums-providers", "ums-server", "ums-simulator", "ums", "xtask"]),
    ("clap", &["ums"]),
];

/// Crates that may name none of the confined ones, in tests neither: the trade without I/O.
const PURE: &[&str] = &["ums-core", "ums-content", "ums-delivery", "ums-story"];

/// One line of a crate's manifest.
struct Edge<'a> {
    from: &'a str,
    to: &'a str,
    in_tests: bool,
}

pub(super) fn check(metadata: &Value) -> Vec<String> {
    let packages = ours(metadata);
    let names: Vec<&str> = packages.iter().filter_map(|package| name(package)).collect();
    let mut complaints: Vec<String> = names
        .iter()
        .filter(|name| allowed(name).is_none())
        .map(|name| format!("{name}: not in the table of crates in xtask/src/tidy/edges.rs"))
        .collect();
    for package in &packages {
        complaints.extend(edges(package).filter_map(|edge| {
            if names.contains(&edge.to) {
                wrong_direction(&edge)
            } else {
                not_confined(&edge)
            }
        }));
    }
    complaints
}

/// The packages of this workspace: they come from no registry.
pub(super) fn ours(metadata: &Value) -> Vec<&Value> {
    let packages = metadata.get("packages").and_then(Value::as_array);
    packages
        .into_iter()
        .flatten()
        .filter(|package| package.get("source").is_none_or(Value::is_null))
        .collect()
}

fn name(package: &Value) -> Option<&str> {
    package.get("name")?.as_str()
}

fn edges(package: &Value) -> impl Iterator<Item = Edge<'_>> {
    let dependencies = package.get("dependencies").and_then(Value::as_array);
    dependencies.into_iter().flatten().filter_map(move |line| {
        Some(Edge {
            from: name(package)?,
            to: name(line)?,
            in_tests: line.get("kind").and_then(Value::as_str) == Some("dev"),
        })
    })
}

fn allowed(name: &str) -> Option<&'static [&'static str]> {
    let (_, uses) = ALLOWED.iter().find(|(from, _)| *from == name)?;
    Some(uses)
}

fn wrong_direction(edge: &Edge<'_>) -> Option<String> {
    let Edge { from, to, in_tests } = edge;
    let uses = allowed(from)?;
    if uses.contains(to) || (*in_tests && IN_TESTS.contains(to)) {
        return None;
    }
    let uses = if uses.is_empty() {
        "nothing of ours".to_owned()
    } else {
        uses.join(", ")
    };
    Some(format!("{from} uses {to}, but may use {uses} (ARCHITECTURE.md)"))
}

fn not_confined(edge: &Edge<'_>) -> Option<String> {
    let Edge { from, to, in_tests } = edge;
    let (_, homes) = CONFINED.iter().find(|(name, _)| name == to)?;
    let is_at_home = homes.contains(from) || (*in_tests && !PURE.contains(from));
    (!is_at_home).then(|| format!("{from} names {to}, which belongs to {}", homes.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check;

    fn package(name: &str, uses: &[(&str, Option<&str>)]) -> Value {
        let lines: Vec<Value> = uses.iter().map(|(name, kind)| json!({"name": name, "kind": kind})).collect();
        json!({"name": name, "source": null, "dependencies": lines})
    }

    #[test]
    fn a_wrong_edge_is_named() {
        let metadata = json!({"packages": [
            package("ums-core", &[("serde", None)]),
            package("ums-store", &[("ums-core", None), ("sqlx", None), ("ums-testkit", Some("dev"))]),
            package("ums-testkit", &[("ums-core", None)]),
            package("ums-delivery", &[("ums-core", None), ("ums-store", None), ("sqlx", Some("dev"))]),
            package("ums-server", &[("ums-testkit", None), ("reqwest", Some("dev"))]),
            package("ums-extra", &[]),
            {"name": "serde", "source": "registry+https://example.com", "dependencies": []},
        ]});
        let found = check(&metadata);
        let expected = [
            "ums-extra: not in the table",
            "ums-delivery uses ums-store, but may use ums-core, ums-content",
            "ums-delivery names sqlx, which belongs to ums-store",
            "ums-server uses ums-testkit, but may use",
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
