//! Every error code that a user may see has a page that says its cause and what to do.

use std::collections::BTreeMap;

use super::tree::Tree;

const PAGES: &str = "docs/errors/";

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    let codes = codes_in_code(tree);
    let mut complaints: Vec<String> = codes
        .iter()
        .filter(|(code, _)| !tree.holds(&format!("{PAGES}{code}.md")))
        .map(|(code, file)| format!("{file}: {code} has no page {PAGES}{code}.md"))
        .collect();
    complaints.extend(
        tree.files
            .iter()
            .filter_map(|file| file.path.strip_prefix(PAGES)?.strip_suffix(".md"))
            .filter(|code| is_code(code) && !codes.contains_key(*code))
            .map(|code| format!("{PAGES}{code}.md: no code is {code}")),
    );
    complaints
}

/// Each quoted code in the crates' sources, with the first file that has it.
fn codes_in_code(tree: &Tree) -> BTreeMap<String, String> {
    let mut codes = BTreeMap::new();
    for file in tree.with_extension("rs") {
        if file.crate_name().is_none() || !file.path.contains("/src/") {
            continue;
        }
        for quoted in file.runtime_text().split('"').filter(|text| is_code(text)) {
            codes.entry(quoted.to_owned()).or_insert_with(|| file.path.clone());
        }
    }
    codes
}

/// `UMS` and four digits.
fn is_code(text: &str) -> bool {
    text.strip_prefix("UMS")
        .is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    #[test]
    fn a_code_without_a_page_and_a_page_without_a_code_are_named() {
        let found = check(&Tree::planted(&[
            (
                "crates/ums-server/src/problem.rs",
                "(\"UMS1001\", 400), (\"UMS1002\", 401), \"UMS\"",
            ),
            ("docs/errors/UMS1001.md", "# UMS1001"),
            ("docs/errors/UMS1009.md", "# UMS1009"),
            ("docs/errors/index.md", "all of them"),
        ]));
        assert_eq!(
            found,
            [
                "crates/ums-server/src/problem.rs: UMS1002 has no page docs/errors/UMS1002.md",
                "docs/errors/UMS1009.md: no code is UMS1009",
            ]
        );
    }
}
