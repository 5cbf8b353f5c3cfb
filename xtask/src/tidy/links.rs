//! Links between our own pages lead somewhere.

use super::tree::{File, Tree};

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    tree.with_extension("md")
        .flat_map(|page| {
            links(page)
                .into_iter()
                .filter_map(|(line, target)| broken(tree, page, line, &target))
        })
        .collect()
}

fn broken(tree: &Tree, page: &File, line: usize, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let place = format!("{}:{line}", page.path);
    let resolved = if path.is_empty() {
        Some(page.path.clone())
    } else {
        resolve(&page.path, path)
    };
    let Some(resolved) = resolved.filter(|path| tree.holds(path)) else {
        return Some(format!("{place}: the link {target} leads nowhere"));
    };
    let linked = tree.files.iter().find(|file| file.path == resolved)?;
    let is_missing =
        !anchor.is_empty() && linked.has_extension("md") && !linked.text.lines().any(|line| slug(line).as_deref() == Some(anchor));
    is_missing.then(|| format!("{place}: {resolved} has no heading #{anchor}"))
}

/// `(line, target)` of each link to our own pages, those in code blocks left out.
fn links(page: &File) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in page.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Odd pieces between back ticks are code.
        for piece in line.split('`').step_by(2) {
            for rest in piece.split("](").skip(1) {
                let target = rest.split([')', ' ']).next().unwrap_or_default();
                // A leading slash means a path of the running service.
                let is_outside = target.contains("://") || target.starts_with('/') || target.starts_with("mailto:");
                if !is_outside && !target.is_empty() {
                    found.push((index + 1, target.to_owned()));
                }
            }
        }
    }
    found
}

/// The path from the root that a link on `page` means; none if it leaves the root.
fn resolve(page: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The anchor that a heading gets.
fn slug(line: &str) -> Option<String> {
    let heading = line.trim_start_matches('#');
    if heading.len() == line.len() || !heading.starts_with(' ') {
        return None;
    }
    let kept = heading.trim().chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ if letter.is_alphanumeric() => Some(letter.to_ascii_lowercase()),
        _ => None,
    });
    Some(kept.collect())
}

#[cfg(test)]
mod tests {
    use super::{check, slug};
    use crate::tidy::tree::Tree;

    #[test]
    fn broken_links_are_named_and_code_is_left_alone() {
        let page = "[a](other.md) [b](../README.md#two-words) [c](none.md)\n\
                    [d](https://example.com/x) `[e](no.md)` [f](#here) [s](/docs)\n\
                    # Here\n```\n[g](no.md)\n```\n[h](../README.md#gone) [i](../../x.md)\n";
        let found = check(&Tree::planted(&[
            ("README.md", "# Two words\n"),
            ("docs/other.md", ""),
            ("docs/page.md", page),
        ]));
        assert_eq!(
            found,
            [
                "docs/page.md:1: the link none.md leads nowhere",
                "docs/page.md:7: README.md has no heading #gone",
                "docs/page.md:7: the link ../../x.md leads nowhere",
            ]
        );
    }

    #[test]
    fn headings_become_anchors() {
        assert_eq!(slug("## A timeout: was it sent?").as_deref(), Some("a-timeout-was-it-sent"));
        assert_eq!(slug("#!/bin/sh"), None);
    }
}
