//! ARCHITECTURE.md tells readers what the checks hold: which crate may use which, and which module stands on which floor.

use std::collections::{BTreeMap, BTreeSet};

use super::edges::ALLOWED;
use super::floors::FLOORS;
use super::tree::Tree;

const PAGE: &str = "ARCHITECTURE.md";
/// What a crate at the bottom may use.
const NOTHING: &str = "nothing of ours";
/// What a crate may use that stands above all the others.
const ALL_ABOVE: &str = "all above";

/// What crates may use, or the modules of floors.
type Lists = BTreeMap<String, BTreeSet<String>>;

pub(super) fn check(tree: &Tree) -> Vec<String> {
    let Some(page) = tree.files.iter().find(|file| file.path == PAGE) else {
        return vec![format!("there is no {PAGE}")];
    };
    let held = ALLOWED.iter().map(|(name, uses)| ((*name).to_owned(), owned(uses))).collect();
    let mut complaints = differences(&uses(&page.text), &held, "may use", "ALLOWED in xtask/src/tidy/edges.rs");
    for (name, floors) in FLOORS {
        let told = numbered(floors_of(&page.text, name));
        let held = numbered(floors.iter().map(|floor| owned(floor)));
        complaints.extend(differences(&told, &held, "holds", "FLOORS in xtask/src/tidy/floors.rs"));
    }
    complaints
}

fn owned(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn numbered(floors: impl IntoIterator<Item = BTreeSet<String>>) -> Lists {
    (1..)
        .zip(floors)
        .map(|(number, floor)| (format!("floor {number}"), floor))
        .collect()
}

/// What each crate may use by the table whose first heading is `crate`.
fn uses(page: &str) -> Lists {
    let mut lists = Lists::new();
    for row in table(page, "crate") {
        let list = match row.last() {
            None | Some(&NOTHING) => BTreeSet::new(),
            Some(&ALL_ABOVE) => lists.keys().cloned().collect(),
            Some(names) => quoted(names).collect(),
        };
        let crates: Vec<String> = row.first().copied().map(quoted).into_iter().flatten().collect();
        lists.extend(crates.into_iter().map(|name| (name, list.clone())));
    }
    lists
}

/// The modules of each floor of a crate by the table whose first heading is `floor of` that crate.
fn floors_of(page: &str, name: &str) -> Vec<BTreeSet<String>> {
    let rows = table(page, &format!("floor of `{name}`"));
    rows.iter()
        .map(|row| row.last().copied().map(quoted).into_iter().flatten().collect())
        .collect()
}

/// The rows of the table with this first heading, cell by cell.
fn table<'p>(page: &'p str, heading: &str) -> Vec<Vec<&'p str>> {
    let is_heading = |line: &&str| cells(line).is_some_and(|row| row.first() == Some(&heading));
    let from = page.lines().skip_while(|line| !is_heading(line));
    // The heading and the line below it.
    from.skip(2).map_while(cells).collect()
}

/// The cells of a table's row.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(row.split('|').map(str::trim).collect())
}

/// The words between back ticks.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// What the page says otherwise than a list in the code, name by name.
fn differences(told: &Lists, held: &Lists, verb: &str, place: &str) -> Vec<String> {
    let say = |list: Option<&BTreeSet<String>>| match list {
        None => "does not name it".to_owned(),
        Some(list) if list.is_empty() => format!("says that it {verb} nothing"),
        Some(list) => format!(
            "says that it {verb} {}",
            list.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        ),
    };
    let names: BTreeSet<&String> = held.keys().chain(told.keys()).collect();
    let all = names.into_iter().map(|name| (name, told.get(name), held.get(name)));
    all.filter(|(_, told, held)| told != held)
        .map(|(name, told, held)| format!("{name}: {PAGE} {}, {place} {}", say(told), say(held)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Lists, check, differences, floors_of, owned, uses};
    use crate::tidy::tree::Tree;

    const PAGE: &str = "# House\n\n| crate | what it is | may use |\n|---|---|---|\n| `a` | words | nothing of ours |\n\
                        | `b` | rows of `x` | `a` |\n| `c` | all | all above |\n\n| floor of `b` | modules |\n|---|---|\n\
                        | callers | `engine` |\n| drivers | `accept`, `worker` |\n";

    fn lists(lists: &[(&str, &[&str])]) -> Lists {
        lists.iter().map(|(name, list)| ((*name).to_owned(), owned(list))).collect()
    }

    #[test]
    fn both_tables_are_read() {
        assert_eq!(uses(PAGE), lists(&[("a", &[]), ("b", &["a"]), ("c", &["a", "b"])]));
        assert_eq!(floors_of(PAGE, "b"), [owned(&["engine"]), owned(&["accept", "worker"])]);
        assert!(floors_of(PAGE, "c").is_empty());
    }

    #[test]
    fn every_difference_is_named() {
        let told = lists(&[("a", &["x"]), ("b", &["y", "z"]), ("told", &[])]);
        let held = lists(&[("a", &["x"]), ("held", &["x"]), ("b", &["z"])]);
        assert_eq!(
            differences(&told, &held, "may use", "ALLOWED"),
            [
                "b: ARCHITECTURE.md says that it may use y, z, ALLOWED says that it may use z",
                "held: ARCHITECTURE.md does not name it, ALLOWED says that it may use x",
                "told: ARCHITECTURE.md says that it may use nothing, ALLOWED does not name it",
            ]
        );
        assert!(differences(&told, &told, "may use", "ALLOWED").is_empty());
    }

    #[test]
    fn the_page_is_held_against_the_tables_of_the_checks() {
        let found = check(&Tree::planted(&[("ARCHITECTURE.md", PAGE)]));
        for start in [
            "ums-core: ARCHITECTURE.md does not name it, ALLOWED",
            "a: ARCHITECTURE.md says that it may use nothing, ALLOWED",
            "floor 1: ARCHITECTURE.md does not name it, FLOORS",
        ] {
            assert!(found.iter().any(|complaint| complaint.starts_with(start)), "{start}: {found:?}");
        }
        assert_eq!(check(&Tree::planted(&[])), ["there is no ARCHITECTURE.md"]);
    }
}
