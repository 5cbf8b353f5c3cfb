//! What is to be done stands in an issue, not in a comment.

use super::tree::Tree;

/// Written apart, so that this file does not complain about itself.
const MARKERS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const EXTENSIONS: [&str; 8] = ["rs", "py", "sql", "toml", "md", "html", "css", "js"];

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    tree.files
        .iter()
        .filter(|file| EXTENSIONS.iter().any(|extension| file.has_extension(extension)))
        .flat_map(|file| {
            file.text.lines().enumerate().filter_map(|(index, line)| {
                let marker = MARKERS.iter().find(|marker| has_word(line, marker))?;
                let path = &file.path;
                Some(format!("{path}:{}: {marker}: do it, or open an issue", index + 1))
            })
        })
        .collect()
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .any(|found| found == word)
}

#[cfg(test)]
mod tests {
    use super::{MARKERS, check};
    use crate::tidy::tree::Tree;

    #[test]
    fn a_marker_is_found_as_a_word_only() {
        let planted = format!("fn a() {{}}\n// {}: later\n", MARKERS[0]);
        let inside = format!("const {}S: u8 = 1;\n", MARKERS[0]);
        let found = check(&Tree::planted(&[("crates/a/src/a.rs", &planted), ("crates/a/src/b.rs", &inside)]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/a/src/a.rs:2:"));
    }
}
