//! A fixture that no test reads proves nothing.

use super::tree::{File, Tree};

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    tree.paths
        .iter()
        .filter(|path| is_fixture(tree, path))
        .filter(|path| !is_used(tree, path))
        .map(|path| format!("{path}: no test names it, nor reads its whole folder"))
        .collect()
}

/// A file under `crates/<name>/tests/fixtures/`; notes on where they come from are none.
fn is_fixture(tree: &Tree, path: &str) -> bool {
    let mut parts = path.splitn(5, '/');
    let is_below = parts.next() == Some("crates")
        && parts.next().is_some()
        && parts.next() == Some("tests")
        && parts.next() == Some("fixtures")
        && parts.next().is_some();
    let inner = format!("{path}/");
    let is_folder = tree.paths.iter().any(|other| other.starts_with(&inner));
    is_below && !is_folder && path.rsplit_once('.').is_none_or(|(_, extension)| extension != "md")
}

fn is_used(tree: &Tree, path: &str) -> bool {
    let home = path.split('/').nth(1);
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder_name = folder.rsplit('/').next().unwrap_or(folder);
    // A name may be written without its extension where a loop adds it.
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    tree.files
        .iter()
        .filter(|file| file.crate_name() == home && file.path != path)
        .filter(|file| file.has_extension("rs") || is_list(file))
        .any(|file| {
            let reads_folder = file.text.contains("read_dir") && file.text.contains(&format!("{folder_name}\""));
            let names_stem = file.text.contains(folder_name)
                && (file.text.contains(&format!("\"{stem}\"")) || file.text.contains(&format!("/{stem}\"")));
            file.text.contains(name) || reads_folder || names_stem
        })
}

/// A table of cases that names further fixtures.
fn is_list(file: &File) -> bool {
    file.path.contains("/tests/fixtures/") && (file.has_extension("tsv") || file.name() == "cases.json")
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    #[test]
    fn an_unused_fixture_is_named() {
        let found = check(&Tree::planted(&[
            ("crates/a/tests/fixtures/ses/README.md", "where from"),
            ("crates/a/tests/fixtures/ses/ok.json", "{}"),
            ("crates/a/tests/fixtures/ses/stray.json", "{}"),
            ("crates/a/tests/fixtures/sms/any.json", "{}"),
            ("crates/a/tests/fixtures/twilio/21211.json", "{}"),
            (
                "crates/a/tests/it/main.rs",
                "include_str!(\"../fixtures/ses/ok.json\"); read_dir(\"tests/fixtures/sms\");\
                 body(\"twilio/21211\")",
            ),
            ("crates/b/tests/it/main.rs", "stray.json"),
        ]));
        assert_eq!(
            found,
            ["crates/a/tests/fixtures/ses/stray.json: no test names it, nor reads its whole folder"]
        );
    }
}
