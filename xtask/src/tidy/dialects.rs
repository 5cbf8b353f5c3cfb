//! Two dialects of SQL, one shape: the same files, and what both do under one name stands in the same file.
//!
//! One writes rows one by one on its thread, the other many with a statement, so the functions inside are not all alike. A file that
//! only one of them needs says in its header why: `//! Only here: …`.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Tree;

const HOME: &str = "crates/ums-store/";
const DIALECTS: [&str; 2] = ["sqlite", "postgres"];
const FOLDERS: [&str; 2] = ["src", "migrations"];
const EXCUSE: &str = "//! Only here: ";

/// The functions of each file, by the file's path with the dialect's folder named `*`.
type Shape = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    let [sqlite, postgres] = DIALECTS.map(|dialect| shape(tree, dialect));
    // One dialect alone has nothing to agree with.
    if sqlite.is_empty() || postgres.is_empty() {
        return Vec::new();
    }
    let [one, other] = DIALECTS;
    let mut complaints = missing(tree, &sqlite, &postgres, DIALECTS);
    complaints.extend(missing(tree, &postgres, &sqlite, [other, one]));
    complaints.extend(apart(&sqlite, &postgres));
    complaints
}

fn shape(tree: &Tree, dialect: &str) -> Shape {
    tree.files
        .iter()
        .filter(|file| file.has_extension("rs") || file.has_extension("sql"))
        .filter_map(|file| {
            let folder = FOLDERS
                .map(|folder| format!("{HOME}{folder}/{dialect}/"))
                .into_iter()
                .find(|folder| file.path.starts_with(folder))?;
            let functions = if file.has_extension("rs") {
                // Methods are indented: the types that they belong to differ.
                let lines = file.runtime_text().lines().filter(|line| !line.starts_with(' '));
                lines.filter_map(shared_function_name).collect()
            } else {
                BTreeSet::new()
            };
            let place = folder.replacen(&format!("/{dialect}/"), "/*/", 1);
            Some((file.path.replacen(&folder, &place, 1), functions))
        })
        .collect()
}

/// Files that the first side has and the other lacks, without saying why.
fn missing(tree: &Tree, here: &Shape, there: &Shape, names: [&str; 2]) -> Vec<String> {
    let lacking = here.keys().filter(|file| !there.contains_key(*file));
    let pairs = lacking.map(|file| names.map(|name| file.replacen("/*/", &format!("/{name}/"), 1)));
    let is_excused = |path: &String| {
        let mut files = tree.files.iter().filter(|file| file.path == *path);
        files.any(|file| file.text.lines().any(|line| line.starts_with(EXCUSE)))
    };
    pairs
        .filter(|[present, _]| !is_excused(present))
        .map(|[present, absent]| format!("{present}: there is no {absent} (or say `{EXCUSE}…`)"))
        .collect()
}

/// Functions that both sides have, but in no file of the same name.
fn apart(one: &Shape, other: &Shape) -> Vec<String> {
    let places = |shape: &Shape, name: &str| -> BTreeSet<String> {
        let files = shape.iter().filter(|(_, functions)| functions.contains(name));
        files.map(|(file, _)| file.clone()).collect()
    };
    let names: BTreeSet<&String> = one.values().flatten().collect();
    let mut complaints = Vec::new();
    for name in names {
        let (here, there) = (places(one, name), places(other, name));
        if !there.is_empty() && here.is_disjoint(&there) {
            complaints.push(format!("fn {name} stands in {here:?} of one dialect and in {there:?} of the other"));
        }
    }
    complaints
}

/// The name in a line that begins a function which others can call.
fn shared_function_name(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    if !words.next()?.starts_with("pub") {
        return None;
    }
    while let Some(word) = words.next() {
        if word == "fn" {
            let name = words.next()?;
            let end = name.find(['(', '<']).unwrap_or(name.len());
            return name.get(..end).map(str::to_owned);
        }
        // `pub(in path)`, `async`, `const`, `unsafe`.
        if !matches!(word, "async" | "const" | "unsafe") && !word.ends_with(')') {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{check, shared_function_name};
    use crate::tidy::tree::Tree;

    #[test]
    fn a_missing_file_and_a_function_in_another_file_are_named() {
        let found = check(&Tree::planted(&[
            ("crates/ums-store/src/postgres/queue.rs", "pub(crate) async fn claim(a: u8) {}"),
            (
                "crates/ums-store/src/sqlite/owners.rs",
                "pub(crate) fn claim<'a>(a: u8) {}\nfn only_here() {}",
            ),
            ("crates/ums-store/src/postgres/owners.rs", ""),
            ("crates/ums-store/src/sqlite/queue.rs", ""),
            ("crates/ums-store/src/sqlite/erase.rs", ""),
            (
                "crates/ums-store/src/postgres/tls.rs",
                "//! Encryption.\n//!\n//! Only here: a file has no network.",
            ),
            ("crates/ums-store/tests/postgres/main.rs", ""),
            ("crates/ums-store/migrations/postgres/0001_first.sql", ""),
        ]));
        assert_eq!(
            found,
            [
                "crates/ums-store/src/sqlite/erase.rs: \
                 there is no crates/ums-store/src/postgres/erase.rs (or say `//! Only here: …`)",
                "crates/ums-store/migrations/postgres/0001_first.sql: \
                 there is no crates/ums-store/migrations/sqlite/0001_first.sql (or say `//! Only here: …`)",
                "fn claim stands in {\"crates/ums-store/src/*/owners.rs\"} of one dialect \
                 and in {\"crates/ums-store/src/*/queue.rs\"} of the other",
            ]
        );
    }

    #[test]
    fn one_dialect_alone_is_fine() {
        let tree = Tree::planted(&[("crates/ums-store/src/sqlite/claim.rs", "fn claim() {}")]);
        assert!(check(&tree).is_empty());
    }

    #[test]
    fn functions_are_told_from_calls() {
        assert_eq!(shared_function_name("    pub async fn claim("), Some("claim".to_owned()));
        assert_eq!(shared_function_name("pub(in crate::sqlite) fn claim("), Some("claim".to_owned()));
        assert_eq!(shared_function_name("fn claim("), None);
        assert_eq!(shared_function_name("let fn_like = claim();"), None);
        assert_eq!(shared_function_name("// fn no()"), None);
    }
}
