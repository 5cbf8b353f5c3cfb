//! The modules of a crate and the arrows between them: which module takes which names from which.
//!
//! An arrow ends at the module that declares the name; re-exports and imports on the way are followed. What a module takes from the
//! modules that hold it (`super::…` up to the crate's root) is no arrow: they are one room. Tests are left out.
//!
//! Two things are not followed: a name that is re-exported by `*`, which counts as the re-exporting module's own, and what macros make.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::{is_word, tokens};
use super::tree::{File, Tree};

/// How often a name is followed from re-export to re-export.
const LONGEST_TRAIL: usize = 16;

/// A module's place in its crate, or a path from the crate's root; the root itself is empty.
pub(super) type Path<'t> = Vec<&'t str>;

/// Uses that one module makes of another.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arrow<'t> {
    /// The names that it takes; none for the module as a whole.
    pub(super) names: BTreeSet<&'t str>,
    pub(super) file: &'t str,
}

/// The arrows of a crate by where they begin and where they end.
pub(super) type Arrows<'t> = BTreeMap<(Path<'t>, Path<'t>), Arrow<'t>>;

/// The modules of one crate.
#[derive(Debug, Default)]
pub(super) struct Modules<'t> {
    by_path: BTreeMap<Path<'t>, Module<'t>>,
}

#[derive(Debug, Default)]
struct Module<'t> {
    file: &'t str,
    imports: Vec<Import<'t>>,
    /// Paths in the code itself.
    mentions: Vec<Path<'t>>,
}

/// One name of a `use`, as it is written.
#[derive(Debug)]
struct Import<'t> {
    path: Path<'t>,
    name: &'t str,
}

/// Reads all crates, by their names.
pub(super) fn crates(tree: &Tree) -> BTreeMap<&str, Modules<'_>> {
    let mut crates: BTreeMap<&str, Modules<'_>> = BTreeMap::new();
    let mut tests: BTreeSet<(&str, Path<'_>)> = BTreeSet::new();
    for file in tree.with_extension("rs") {
        let Some((name, path)) = place(file) else { continue };
        let mut reader = Reader {
            tokens: tokens(&file.text),
            at: 0,
            file: &file.path,
            modules: &mut crates.entry(name).or_default().by_path,
            tests: Vec::new(),
        };
        reader.read(&path);
        tests.extend(reader.tests.into_iter().map(|path| (name, path)));
    }
    for (name, test) in tests {
        if let Some(modules) = crates.get_mut(name) {
            modules.by_path.retain(|path, _| !path.starts_with(&test));
        }
    }
    crates
}

/// The crate that a source file belongs to, and the path of its module.
fn place(file: &File) -> Option<(&str, Path<'_>)> {
    let (name, source) = match file.path.strip_prefix("crates/") {
        Some(path) => path.split_once("/src/")?,
        None => ("xtask", file.path.strip_prefix("xtask/src/")?),
    };
    let mut path: Path<'_> = source.strip_suffix(".rs")?.split('/').collect();
    if matches!(path.last(), Some(&("mod" | "lib" | "main"))) {
        path.pop();
    }
    (!name.contains('/')).then_some((name, path))
}

impl<'t> Modules<'t> {
    /// The modules that lie directly in the crate's root.
    pub(super) fn topmost(&self) -> impl Iterator<Item = &'t str> {
        self.by_path.keys().filter_map(|path| match path.as_slice() {
            [name] => Some(*name),
            _ => None,
        })
    }

    pub(super) fn arrows(&self) -> Arrows<'t> {
        let mut arrows = Arrows::new();
        for (from, module) in &self.by_path {
            let imported = module.imports.iter().map(|import| &import.path);
            for path in imported.chain(&module.mentions) {
                let Some(path) = self.absolute(from, path, LONGEST_TRAIL) else {
                    continue;
                };
                let path = self.declared(path);
                let (to, rest) = self.split(&path);
                if from.starts_with(to) {
                    continue;
                }
                let arrow = arrows.entry((from.clone(), to.to_vec())).or_default();
                arrow.file = module.file;
                arrow.names.extend(rest.first());
            }
        }
        arrows
    }

    /// A path as it counts from the root, if it leads into the crate.
    fn absolute(&self, module: &[&'t str], path: &[&'t str], trail: usize) -> Option<Path<'t>> {
        let (first, rest) = path.split_first()?;
        let below = |module: &[&'t str], rest: &[&'t str]| [module, rest].concat();
        match *first {
            "crate" => Some(rest.to_vec()),
            "self" => Some(below(module, rest)),
            "super" => {
                let (_, mut parent) = module.split_last()?;
                let mut rest = rest;
                while let Some(("super", further)) = rest.split_first().map(|(word, further)| (*word, further)) {
                    (_, parent) = parent.split_last()?;
                    rest = further;
                }
                Some(below(parent, rest))
            }
            name if self.by_path.contains_key(&below(module, &[name])) => Some(below(module, path)),
            name => {
                let import = self.by_path.get(module)?.imports.iter().find(|import| import.name == name)?;
                let path = self.absolute(module, &import.path, trail.checked_sub(1)?)?;
                Some(below(&path, rest))
            }
        }
    }

    /// Follows a path to the module that declares what it names.
    fn declared(&self, mut path: Path<'t>) -> Path<'t> {
        for _ in 0..LONGEST_TRAIL {
            let (module, rest) = self.split(&path);
            let Some((name, further)) = rest.split_first() else { break };
            let imports = self.by_path.get(module).into_iter().flat_map(|module| &module.imports);
            let mut origins = imports
                .filter(|import| import.name == *name && *name != "*")
                .filter_map(|import| self.absolute(module, &import.path, LONGEST_TRAIL));
            match origins.next() {
                Some(origin) if origin != path => path = [&origin, further].concat(),
                Some(_) | None => break,
            }
        }
        path
    }

    /// A path as the longest module in it and the rest.
    fn split<'p>(&self, path: &'p [&'t str]) -> (&'p [&'t str], &'p [&'t str]) {
        let is_module = |length: &usize| self.by_path.contains_key(&path[..*length]);
        let length = (0..=path.len()).rev().find(is_module).unwrap_or_default();
        path.split_at(length)
    }
}

/// Reads one file: what it imports and mentions, module by module.
struct Reader<'t, 'm> {
    tokens: Vec<&'t str>,
    at: usize,
    file: &'t str,
    modules: &'m mut BTreeMap<Path<'t>, Module<'t>>,
    /// Modules that are compiled for tests only.
    tests: Vec<Path<'t>>,
}

impl<'t> Reader<'t, '_> {
    fn read(&mut self, module: &[&'t str]) {
        let mut found = Module {
            file: self.file,
            ..Module::default()
        };
        let mut depth = 0_usize;
        while let Some(token) = self.next() {
            match token {
                "{" => depth += 1,
                // The end of a module within a file.
                "}" if depth == 0 => break,
                "}" => depth -= 1,
                "#" if self.is_for_tests() => self.skip_item(module),
                "mod" if self.peek(1) == Some("{") => {
                    let inner = [module, &[self.next().unwrap_or_default()]].concat();
                    self.next();
                    self.read(&inner);
                }
                "use" if self.peek(0) != Some("<") => self.read_use(&[], &mut found.imports),
                word if is_word(word) && self.peek(0) == Some("::") => found.mentions.extend(self.rest_of_path(word)),
                _ => {}
            }
        }
        let known = self.modules.entry(module.to_vec()).or_default();
        known.file = found.file;
        known.imports.append(&mut found.imports);
        known.mentions.append(&mut found.mentions);
    }

    fn next(&mut self) -> Option<&'t str> {
        let token = self.peek(0);
        self.at += 1;
        token
    }

    fn peek(&self, ahead: usize) -> Option<&'t str> {
        self.tokens.get(self.at + ahead).copied()
    }

    /// The path that a word begins; none when the word stands behind another's `::`, as in `::serde::de`.
    fn rest_of_path(&mut self, first: &'t str) -> Option<Path<'t>> {
        let is_middle = self.at >= 2 && self.tokens.get(self.at - 2) == Some(&"::");
        let mut path = vec![first];
        while self.peek(0) == Some("::") && self.peek(1).is_some_and(is_word) {
            self.at += 1;
            path.extend(self.next());
        }
        (!is_middle).then_some(path)
    }

    /// Reads one branch of a `use`, with all that lies below it.
    fn read_use(&mut self, above: &[&'t str], found: &mut Vec<Import<'t>>) {
        let mut path = above.to_vec();
        while let Some(token) = self.next() {
            match token {
                "::" => continue,
                "{" => {
                    while !matches!(self.peek(0), Some("}") | None) {
                        self.read_use(&path, found);
                        if self.peek(0) == Some(",") {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                word => path.push(word),
            }
            if self.peek(0) == Some("::") {
                continue;
            }
            // `a::{self}` is `a`.
            if path.len() > 1 && path.last() == Some(&"self") {
                path.pop();
            }
            let mut name = path.last().copied().unwrap_or_default();
            if self.peek(0) == Some("as") {
                name = self.peek(1).unwrap_or_default();
                self.at += 2;
            }
            found.push(Import { path, name });
            return;
        }
    }

    /// Whether `[cfg(test)]` or `[cfg(all(test, …))]` comes next.
    fn is_for_tests(&self) -> bool {
        let next: Vec<&str> = self.tokens.iter().skip(self.at).take(6).copied().collect();
        matches!(
            next.as_slice(),
            ["[", "cfg", "(", "test", ..] | ["[", "cfg", "(", "all", "(", "test"]
        )
    }

    /// Skips an attribute, those behind it, and the item that they stand for.
    fn skip_item(&mut self, module: &[&'t str]) {
        self.skip_group();
        while self.peek(0) == Some("#") {
            self.at += 1;
            self.skip_group();
        }
        while let Some(token) = self.peek(0) {
            match token {
                "mod" => {
                    let name = self.peek(1).unwrap_or_default();
                    self.tests.push([module, &[name]].concat());
                    self.at += 1;
                }
                "(" | "[" => self.skip_group(),
                "{" => return self.skip_group(),
                ";" => return self.at += 1,
                // The end of what surrounds a field.
                "}" => return,
                _ => self.at += 1,
            }
        }
    }

    /// Skips what stands in brackets of any kind.
    fn skip_group(&mut self) {
        let mut depth = 0_usize;
        while let Some(token) = self.next() {
            match token {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tree, crates};

    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let files: Vec<(String, &str)> = files.iter().map(|(path, text)| (format!("crates/a/src/{path}"), *text)).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        let tree = Tree::planted(&files);
        let arrows = crates(&tree).get("a").unwrap().arrows();
        let found: Vec<String> = arrows
            .iter()
            .filter(|((from, _), _)| !from.is_empty())
            .map(|((from, to), arrow)| {
                let names: Vec<&str> = arrow.names.iter().copied().collect();
                format!("{} -> {}: {}", from.join("/"), to.join("/"), names.join(" "))
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn imports_and_paths_are_arrows_to_the_module_that_declares_the_name() {
        check(
            &[
                ("lib.rs", "mod x; mod y; mod z; pub use y::Outer; use z::{Deep as Shallow};"),
                (
                    "x.rs",
                    "use crate::{Outer, y::{self, inner::{A, B as C}}, z}; fn f() { crate::Shallow::new(); z::g::h(); C::i(); }",
                ),
                (
                    "y.rs",
                    "pub mod inner; use std::fmt; fn f() { inner::A; super::z::g::<crate::x::T>(); ::x::T; fmt::x(); }",
                ),
                (
                    "y/inner.rs",
                    "use super::super::z::Deep; use super::Outer; use self::own::D; mod own { use super::A; use crate::x::E; }",
                ),
                ("z.rs", ""),
            ],
            &[
                "x -> y: Outer",
                "x -> y/inner: A B",
                "x -> z: Deep g",
                "y -> x: T",
                "y -> y/inner: A",
                "y -> z: g",
                "y/inner -> y/inner/own: D",
                "y/inner -> z: Deep",
                "y/inner/own -> x: E",
            ],
        );
    }

    #[test]
    fn comments_texts_and_tests_do_not_count() {
        let one = "//! [`crate::y::A`]\n/* use crate::y::B; */ const T: &str = \"use crate::y::C;\"; fn f<'a>() -> impl Sized + use<'a> {}\n\
                   #[cfg(test)] use crate::y::D;\n#[cfg(test)]\n#[expect(a)]\npub(crate) fn t() { crate::y::E }\n\
                   #[cfg(all(test, not(loom)))] mod tests { use crate::y::F; }\n#[cfg(test)] mod fixtures;\n#[cfg(test)] mod table;\n\
                   struct S { #[cfg(test)] x: crate::y::G }\n#[cfg(unix)] use crate::y::Counts;";
        check(
            &[
                ("lib.rs", ""),
                ("x.rs", one),
                ("x/fixtures.rs", "use crate::y::H;"),
                ("x/table/rows.rs", "use crate::y::I;"),
                ("y.rs", ""),
            ],
            &["x -> y: Counts"],
        );
    }
}
