//! `.env`, read as it is commonly written.
//!
//! `NAME=value`, an optional `export `, `# comments` on lines of their own and after unquoted
//! values, single quotes (literal) and double quotes (with `\n \r \t \\ \" \$`). Nothing is
//! substituted: `$NAME` stays as it is.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::files::{self, Text};
use crate::{Fault, Source};

/// The settings of a `.env` file.
#[derive(Clone, Default)]
pub struct DotEnv {
    values: BTreeMap<String, String>,
    faults: Vec<Fault>,
}

impl DotEnv {
    /// Reads the `.env` of the working directory; a missing one is empty.
    pub fn in_working_directory() -> Self {
        Self::read(Path::new(".env"))
    }

    /// Reads a file; a missing one is empty. What cannot be read is reported by [`Source::faults`].
    pub fn read(path: &Path) -> Self {
        match files::read(path) {
            Text::Missing => Self::default(),
            Text::Read(text) => Self::parse(&text),
            Text::Unreadable(reason) => Self {
                values: BTreeMap::new(),
                faults: vec![Fault::new(".env", reason)],
            },
        }
    }

    /// Reads the text of a file. The last of several lines with one name wins.
    pub fn parse(text: &str) -> Self {
        let mut file = Self::default();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            match setting(line) {
                Ok(Some((name, value))) => drop(file.values.insert(name.to_owned(), value)),
                Ok(None) => {}
                Err(reason) => file.faults.push(Fault::new(format!(".env line {}", index + 1), reason)),
            }
        }
        file
    }
}

/// Reads one line: nothing, or a name and its value.
fn setting(line: &str) -> Result<Option<(&str, String)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let (name, value) = line.split_once('=').ok_or("must be NAME=value")?;
    let name = name.trim_end();
    let name_is_fine =
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !name_is_fine {
        return Err("has a name with characters other than letters, digits and _");
    }
    let quoted = value.trim_start();
    let value = match quoted.chars().next() {
        Some('\'') => single_quoted(quoted)?,
        Some('"') => double_quoted(quoted)?,
        _ => unquoted(value),
    };
    Ok(Some((name, value)))
}

/// Takes a value up to a `#` that follows white space.
fn unquoted(value: &str) -> String {
    let comment = value
        .char_indices()
        .find(|(at, c)| *c == '#' && value.get(..*at).is_some_and(|before| before.ends_with([' ', '\t'])));
    let end = comment.map_or(value.len(), |(at, _)| at);
    value.get(..end).unwrap_or(value).trim().to_owned()
}

fn single_quoted(value: &str) -> Result<String, &'static str> {
    let (inner, rest) = value
        .get(1..)
        .and_then(|inner| inner.split_once('\''))
        .ok_or("has a single quote that is not closed")?;
    nothing_follows(rest)?;
    Ok(inner.to_owned())
}

fn double_quoted(value: &str) -> Result<String, &'static str> {
    let mut inner = String::with_capacity(value.len());
    let mut characters = value.chars();
    characters.next();
    while let Some(character) = characters.next() {
        match character {
            '"' => return nothing_follows(characters.as_str()).map(|()| inner),
            '\\' => match characters.next() {
                Some('n') => inner.push('\n'),
                Some('r') => inner.push('\r'),
                Some('t') => inner.push('\t'),
                Some(escaped @ ('\\' | '"' | '$' | '`')) => inner.push(escaped),
                Some(other) => inner.extend(['\\', other]),
                None => break,
            },
            other => inner.push(other),
        }
    }
    Err("has a double quote that is not closed")
}

/// Only white space and a comment may follow a closing quote.
fn nothing_follows(rest: &str) -> Result<(), &'static str> {
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        Ok(())
    } else {
        Err("has text after its closing quote")
    }
}

impl Source for DotEnv {
    fn get(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }

    fn faults(&self) -> Vec<Fault> {
        self.faults.clone()
    }
}

impl fmt::Debug for DotEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DotEnv({} settings, {} faults)", self.values.len(), self.faults.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read_as_they_are_commonly_written() {
        let check = |line: &str, expected: &str| assert_eq!(DotEnv::parse(line).get("NAME").as_deref(), Some(expected), "{line:?}");
        check("NAME=value", "value");
        check("export NAME=value", "value");
        check("  export\tNAME=value  ", "value");
        check("NAME = value", "value");
        check("NAME=value # comment", "value");
        check("NAME=value\t# comment", "value");
        check("NAME=va#lue", "va#lue");
        check("NAME=#value", "#value");
        check("NAME= # comment", "");
        check("NAME=", "");
        check("NAME=two words", "two words");
        check("NAME='single # quoted $HOME \\n'", "single # quoted $HOME \\n");
        check("NAME=\"double # quoted\" # comment", "double # quoted");
        check("NAME=\"a\\nb\\t\\\\\\\"\\$\"", "a\nb\t\\\"$");
        check("NAME=\"C:\\path\"", "C:\\path");
        check("NAME=abcd efgh ijkl mnop  # Gmail app password", "abcd efgh ijkl mnop");
        check("NAME=a=b=c", "a=b=c");
        check("NAME=$HOME", "$HOME");
        check("NAME=it's", "it's");
        check("\u{feff}NAME=value", "value");
        check("# NAME=no\r\nNAME=value\r\n", "value");
        check("NAME=first\nNAME=last", "last");
        check("NAME=grün", "grün");
    }

    #[test]
    fn lines_that_cannot_be_read_are_named_without_their_content() {
        let file = DotEnv::parse("A=1\ncanary\nB='canary\nC=\"canary\nD='x' canary\n1E=canary\nF=2");
        let settings: Vec<_> = file.faults().into_iter().map(|fault| fault.setting).collect();
        assert_eq!(
            settings,
            [".env line 2", ".env line 3", ".env line 4", ".env line 5", ".env line 6"]
        );
        assert_eq!(file.get("F").as_deref(), Some("2"));
        assert!(!format!("{:?} {file:?}", file.faults()).contains("canary"));
    }

    #[test]
    fn a_missing_file_is_empty_and_a_folder_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        assert!(DotEnv::read(&folder.path().join(".env")).faults().is_empty());
        assert_eq!(DotEnv::read(folder.path()).faults().len(), 1);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "(\\PC|[\n\"'#=\\\\ ]){0,80}") {
            drop(DotEnv::parse(&text));
        }

        #[test]
        fn single_quotes_keep_everything(value in "[^'\r\n\u{85}\u{2028}\u{2029}]{0,40}") {
            prop_assert_eq!(DotEnv::parse(&format!("NAME='{value}'")).get("NAME"), Some(value));
        }
    }
}
