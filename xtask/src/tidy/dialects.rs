//! Two dialects of SQL, one shape: the same files and the same functions on both sides.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::tree::Tree;

const HOME: &str = "crates/ums-store/";
const DIALECTS: [&str; 2] = ["sqlite", "postgres"];

/// The functions of each file, by the file's path with the dialect's folder named `*`.
type Shape = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    let [sqlite, postgres] = DIALECTS.map(|dialect| shape(tree, dialect));
    // One dialect alone has nothing to agree with.
    if sqlite.is_empty() || postgres.is_empty() {
        return Vec::new();
    }
    let mut complaints = missing(&sqlite, &postgres, DIALECTS);
    let [one, other] = DIALECTS;
    complaints.extend(missing(&postgres, &sqlite, [other, one]));
    complaints
}

fn shape(tree: &Tree, dialect: &str) -> Shape {
    let folder = format!("/{dialect}/");
    tree.files
        .iter()
        .filter(|file| file.has_extension("rs") || file.has_extension("sql"))
        .filter(|file| file.path.starts_with(HOME) && file.path.contains(&folder))
        .map(|file| {
            let functions = if file.has_extension("rs") {
                file.runtime_text().lines().filter_map(function_name).collect()
            } else {
                BTreeSet::new()
            };
            (file.path.replacen(&folder, "/*/", 1), functions)
        })
        .collect()
}

/// What the first side has and the other lacks.
fn missing(here: &Shape, there: &Shape, names: [&str; 2]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (file, functions) in here {
        let [present, absent] = names.map(|name| file.replacen("/*/", &format!("/{name}/"), 1));
        let Some(others) = there.get(file) else {
            complaints.push(format!("{present}: there is no {absent}"));
            continue;
        };
        complaints.extend(
            functions
                .difference(others)
                .map(|function| format!("{present}: {absent} has no fn {function}")),
        );
    }
    complaints
}

/// The name in a line that begins a function.
fn function_name(line: &str) -> Option<String> {
    let mut words = line.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let is_qualifier = word.starts_with("pub") || matches!(word, "async" | "const" | "unsafe" | "in");
        if word == "fn" {
            let name = words.next()?;
            let end = name.find(['(', '<']).unwrap_or(name.len());
            return name.get(..end).map(str::to_owned);
        }
        if !is_qualifier {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{check, function_name};
    use crate::tidy::tree::Tree;

    #[test]
    fn a_missing_file_and_a_missing_function_are_named() {
        let found = check(&Tree::planted(&[
            ("crates/ums-store/src/postgres/claim.rs", "pub(crate) async fn claim(a: u8) {}"),
            (
                "crates/ums-store/src/sqlite/claim.rs",
                "pub(crate) async fn claim<'a>(a: u8) {}\nfn only_here() {}\n\
                 #[cfg(test)]\nmod tests { fn not_counted() {} }",
            ),
            ("crates/ums-store/src/sqlite/erase.rs", ""),
            ("crates/ums-store/migrations/postgres/0001_first.sql", ""),
        ]));
        assert_eq!(
            found,
            [
                "crates/ums-store/src/sqlite/claim.rs: \
                 crates/ums-store/src/postgres/claim.rs has no fn only_here",
                "crates/ums-store/src/sqlite/erase.rs: \
                 there is no crates/ums-store/src/postgres/erase.rs",
                "crates/ums-store/migrations/postgres/0001_first.sql: \
                 there is no crates/ums-store/migrations/sqlite/0001_first.sql",
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
        assert_eq!(function_name("    pub async fn claim("), Some("claim".to_owned()));
        assert_eq!(function_name("let fn_like = claim();"), None);
        assert_eq!(function_name("// fn no()"), None);
    }
}
