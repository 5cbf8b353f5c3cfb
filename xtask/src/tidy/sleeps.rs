//! A test that sleeps is slow on a fast machine and wrong on a slow one: time is injected.

use super::tree::Tree;

const CALL: &str = concat!("sleep", "(");
/// What a line, or the one before it, says where it is right: the clock is paused, a slow peer is played.
const REASON: &str = "Sleeps because ";

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    tree.files
        .iter()
        .filter(|file| file.has_extension("rs") || file.has_extension("py"))
        .filter(|file| !file.path.starts_with("xtask/") && !file.path.starts_with("bench/"))
        .flat_map(|file| {
            let mut before = "";
            file.test_lines().filter_map(move |(number, line)| {
                let excused = line.contains(REASON) || before.contains(REASON);
                before = line;
                let code = line.trim_start();
                let is_comment = code.starts_with("//") || code.starts_with('#');
                (line.contains(CALL) && !excused && !is_comment).then(|| {
                    let path = &file.path;
                    format!(
                        "{path}:{number}: a test sleeps; inject the clock or wait for the event \
                         (or say `// Sleeps because …`)"
                    )
                })
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{CALL, check};
    use crate::tidy::tree::Tree;

    #[test]
    fn a_sleep_is_found_in_tests_only() {
        let call = format!("std::thread::{CALL}ONE);");
        let excused = format!("// Sleeps because the clock is paused.\ntokio::time::{CALL}ONE).await;");
        let mixed = format!("{call}\n#[cfg(test)]\nmod tests {{\n{call}\n}}");
        let found = check(&Tree::planted(&[
            ("crates/a/src/lib.rs", &mixed),
            ("crates/a/src/runtime.rs", &call),
            ("crates/a/tests/it/excused.rs", &excused),
            ("tests/sdk/run.py", &format!("time.{CALL}1)")),
        ]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/a/src/lib.rs:4:"));
        assert!(found[1].starts_with("tests/sdk/run.py:1:"));
    }
}
