//! A dependency that no source names costs build time and trust for nothing.
//!
//! One that is there for its features alone is listed in the crate's manifest, in the way that
//! cargo-machete reads it: `[package.metadata.cargo-machete] ignored = ["name"]`.

use std::path::Path;

use serde_json::Value;

use super::edges::ours;
use super::tree::Tree;

pub(super) const RULE: &str = "every dependency is named by a source";

pub(super) fn check(metadata: &Value, tree: &Tree) -> Vec<String> {
    ours(metadata)
        .into_iter()
        .flat_map(|package| unused(metadata, package, tree))
        .collect()
}

fn unused(metadata: &Value, package: &Value, tree: &Tree) -> Vec<String> {
    let text = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
    let (Some(name), Some(folder)) = (text(package, "name"), folder(metadata, package)) else {
        return Vec::new();
    };
    let ignored = package
        .pointer("/metadata/cargo-machete/ignored")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let dependencies = package.get("dependencies").and_then(Value::as_array);
    let mut unused: Vec<String> = dependencies
        .into_iter()
        .flatten()
        .filter(|line| line.get("name").is_none_or(|name| !ignored.contains(name)))
        .filter_map(|line| text(line, "rename").or_else(|| text(line, "name")))
        .filter(|dependency| !is_named(tree, &folder, &dependency.replace('-', "_")))
        .map(|dependency| format!("{name}: nothing in {folder} names {dependency}"))
        .collect();
    unused.dedup();
    unused
}

/// The package's folder, from the root.
fn folder(metadata: &Value, package: &Value) -> Option<String> {
    let root = metadata.get("workspace_root")?.as_str()?;
    let manifest = Path::new(package.get("manifest_path")?.as_str()?);
    let folder = manifest.parent()?.strip_prefix(root).ok()?;
    Some(folder.to_string_lossy().into_owned())
}

fn is_named(tree: &Tree, folder: &str, word: &str) -> bool {
    let inside = format!("{folder}/");
    tree.with_extension("rs").filter(|file| file.path.starts_with(&inside)).any(|file| {
        file.text
            .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .any(|found| found == word)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check;
    use crate::tidy::tree::Tree;

    #[test]
    fn a_dependency_that_nothing_names_is_found() {
        let metadata = json!({"workspace_root": "/w", "packages": [{
            "name": "a",
            "source": null,
            "manifest_path": "/w/crates/a/Cargo.toml",
            "metadata": {"cargo-machete": {"ignored": ["only-features"]}},
            "dependencies": [
                {"name": "in-source", "rename": null},
                {"name": "in-tests", "rename": null, "kind": "dev"},
                {"name": "other-name", "rename": "renamed"},
                {"name": "only-features", "rename": null},
                {"name": "stray", "rename": null},
            ],
        }]});
        let tree = Tree::planted(&[
            ("crates/a/src/lib.rs", "use in_source::A; use renamed::B; struct Strays;"),
            ("crates/a/tests/it/main.rs", "in_tests::c()"),
            ("crates/ab/src/lib.rs", "use stray::D;"),
        ]);
        assert_eq!(check(&metadata, &tree), ["a: nothing in crates/a names stray"]);
    }
}
