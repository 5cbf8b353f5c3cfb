//! A file over 500 lines needs a reason in its header.

use super::tree::Tree;

/// Lines that need no reason.
const LIMIT: usize = 500;
/// How the reason begins.
const REASON: &str = "Long because ";

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    tree.with_extension("rs")
        .map(|file| (file, "//!"))
        .chain(tree.with_extension("py").map(|file| (file, "#")))
        .filter_map(|(file, comment)| {
            let lines = file.text.lines().count();
            let reason = format!("{comment} {REASON}");
            let has_reason = file
                .text
                .lines()
                .take_while(|line| line.starts_with(comment) || line.is_empty())
                .any(|line| line.starts_with(&reason));
            (lines > LIMIT && !has_reason).then(|| {
                let path = &file.path;
                format!("{path}: {lines} lines; split it, or say `{reason}…` in its header")
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    #[test]
    fn a_long_file_needs_a_reason_in_its_header() {
        let body = "fn a() {}\n".repeat(501);
        let reasoned = format!("//! Tables.\n//!\n//! Long because it is one table.\n\n{body}");
        let too_late = format!("//! Tables.\nfn b() {{}}\n//! Long because no.\n{body}");
        let short = "fn a() {}\n".repeat(500);
        let found = check(&Tree::planted(&[
            ("crates/a/src/long.rs", &body),
            ("crates/a/src/reasoned.rs", &reasoned),
            ("crates/a/src/short.rs", &short),
            ("crates/a/src/too_late.rs", &too_late),
            ("tests/long.py", &"x = 1\n".repeat(501)),
        ]));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("crates/a/src/long.rs: 501 lines"));
        assert!(found[1].starts_with("crates/a/src/too_late.rs"));
    }
}
