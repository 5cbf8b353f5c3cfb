//! The files of the checkout that people wrote.

use std::path::Path;

use anyhow::{Context as _, Result};

/// Folders that hold nothing written by us.
const SKIPPED: &[&str] = &["target", "artifacts", "corpus", "node_modules", "__pycache__"];
/// Hidden folders that do.
const HIDDEN: &[&str] = &[".ci", ".cargo", ".github"];

/// One file: its path from the root with forward slashes, and its text.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        self.name().rsplit_once('.').is_some_and(|(_, found)| found == extension)
    }

    /// The name of the crate whose folder this file lies in.
    pub(crate) fn crate_name(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }

    /// Numbered lines that are compiled for tests only.
    pub(crate) fn test_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let all_of_it = self.path.split('/').any(|part| part == "tests") || matches!(self.name(), "tests.rs" | "test.rs");
        let from = if all_of_it {
            0
        } else {
            self.text
                .lines()
                .position(|line| line.trim_start().starts_with("#[cfg(test)]"))
                .unwrap_or(usize::MAX)
        };
        self.text.lines().enumerate().skip(from).map(|(index, line)| (index + 1, line))
    }

    /// The text up to the unit tests.
    pub(crate) fn runtime_text(&self) -> &str {
        self.text.split("#[cfg(test)]").next().unwrap_or(&self.text)
    }
}

/// All files with text, in the order of their paths.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    /// Paths of all files, those that are not text included, and of all folders.
    pub(crate) paths: Vec<String>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.walk(root, "")?;
        tree.files.sort_by(|one, other| one.path.cmp(&other.path));
        tree.paths.sort();
        Ok(tree)
    }

    fn walk(&mut self, root: &Path, folder: &str) -> Result<()> {
        let entries = std::fs::read_dir(root.join(folder)).with_context(|| format!("reading the folder {folder}"))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() {
                name.clone()
            } else {
                format!("{folder}/{name}")
            };
            let kind = entry.file_type()?;
            if kind.is_dir() {
                let skipped = SKIPPED.contains(&name.as_str());
                let hidden = name.starts_with('.') && !HIDDEN.contains(&name.as_str());
                if !skipped && !hidden {
                    self.paths.push(path.clone());
                    self.walk(root, &path)?;
                }
            } else if kind.is_file() {
                self.paths.push(path.clone());
                // A file that another program removes meanwhile is not ours.
                if let Ok(bytes) = std::fs::read(root.join(&path))
                    && let Ok(text) = String::from_utf8(bytes)
                {
                    self.files.push(File { path, text });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn with_extension(&self, extension: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.has_extension(extension))
    }

    /// Whether a file or folder lies there.
    pub(crate) fn holds(&self, path: &str) -> bool {
        path.is_empty() || self.paths.binary_search_by(|found| found.as_str().cmp(path)).is_ok()
    }

    /// A tree for tests: `(path, text)` of each file.
    #[cfg(test)]
    pub(crate) fn planted(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            let mut folder = String::new();
            for part in path.split('/') {
                if !folder.is_empty() {
                    tree.paths.push(folder.clone());
                    folder.push('/');
                }
                folder.push_str(part);
            }
            tree.paths.push((*path).to_owned());
            tree.files.push(File {
                path: (*path).to_owned(),
                text: (*text).to_owned(),
            });
        }
        tree.paths.sort();
        tree.paths.dedup();
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::Tree;

    #[test]
    fn what_people_wrote_is_read_and_nothing_else() {
        let root = std::env::temp_dir().join(format!("xtask-tree-{}", std::process::id()));
        for (path, text) in [
            ("crates/a/src/lib.rs", &b"fn a() {}"[..]),
            (".ci/run", b"#!/bin/sh"),
            (".git/config", b"x"),
            ("target/debug/x.rs", b"x"),
            ("picture.png", &[0xff, 0xfe]),
        ] {
            let file = root.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let tree = Tree::read(&root).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        let texts: Vec<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(texts, [".ci/run", "crates/a/src/lib.rs"]);
        assert!(tree.holds("picture.png") && tree.holds("crates/a"));
        assert!(!tree.holds("target/debug/x.rs"));
    }

    #[test]
    fn test_lines_begin_at_the_unit_tests() {
        let tree = Tree::planted(&[
            ("crates/a/src/lib.rs", "fn a() {}\n#[cfg(test)]\nmod tests {}"),
            ("crates/a/tests/it/main.rs", "mod one;"),
        ]);
        let lines: Vec<usize> = tree.files[0].test_lines().map(|(line, _)| line).collect();
        assert_eq!(lines, [2, 3]);
        assert_eq!(tree.files[1].test_lines().count(), 1);
        assert_eq!(tree.files[0].runtime_text(), "fn a() {}\n");
    }
}
