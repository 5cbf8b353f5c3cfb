//! The configuration file over the built-in one, read by dotted names.
//!
//! The built-in file is the only place where these defaults stand; a name that it does not have
//! does not exist.

use std::path::Path;

use toml::{Table, Value};
use ums_core::ProviderKind;

use crate::files::{self, Text};
use crate::{Fault, MapSource, env};

/// Every setting of the file with its default and its meaning.
pub const DEFAULT_CONFIG: &str = include_str!("../config.default.toml");

/// Sections whose settings may be set for one provider alone, in a table of its name.
const PER_PROVIDER: [&str; 2] = ["breaker", "timeouts"];
/// Sections that map words of the user's choice to values: calling codes to prices.
const OPEN_TABLES: [&str; 2] = ["prices.aws_sns_per_segment", "prices.twilio_per_segment"];

/// A configuration file over the defaults.
#[derive(Debug, Default)]
pub(crate) struct TomlFile {
    user: Table,
    defaults: Table,
}

impl TomlFile {
    /// Reads the file, if one is named, and reports what it has that does not exist.
    pub(crate) fn read(path: Option<&Path>, faults: &mut Vec<Fault>) -> Self {
        let text = match path.map(files::read) {
            None => return Self::parse("", faults),
            Some(Text::Read(text)) => text,
            Some(Text::Missing) => {
                faults.push(Fault::new("UMS_CONFIG", "names a file that does not exist"));
                return Self::parse("", faults);
            }
            Some(Text::Unreadable(reason)) => {
                faults.push(Fault::new("UMS_CONFIG", format!("names a file that {reason}")));
                return Self::parse("", faults);
            }
        };
        Self::parse(&text, faults)
    }

    /// Reads the text of a file.
    pub(crate) fn parse(text: &str, faults: &mut Vec<Fault>) -> Self {
        let defaults = table(DEFAULT_CONFIG, "the built-in configuration file", faults);
        let user = table(text, "the file of UMS_CONFIG", faults);
        let file = Self { user, defaults };
        for (path, value) in leaves(&file.user, "") {
            if let Some(fault) = file.unknown(&path, value) {
                faults.push(fault);
            }
        }
        file
    }

    /// The value of a dotted name: the user's, else the default.
    pub(crate) fn value(&self, path: &str) -> Option<&Value> {
        find(&self.user, path).or_else(|| find(&self.defaults, path))
    }

    /// The dotted name that holds for one provider: its own, if it is set, else the section's.
    pub(crate) fn path_for(&self, section: &str, provider: ProviderKind, key: &str) -> String {
        let own = format!("{section}.{provider}.{key}");
        if find(&self.user, &own).is_some() {
            own
        } else {
            format!("{section}.{key}")
        }
    }

    /// Whether the user's file has the name.
    pub(crate) fn is_set(&self, path: &str) -> bool {
        find(&self.user, path).is_some()
    }

    /// All names with a value: the built-in ones, then those that only the user's file has.
    pub(crate) fn names(&self) -> Vec<String> {
        let own = leaves(&self.user, "")
            .into_iter()
            .map(|(path, _)| path)
            .filter(|path| find(&self.defaults, path).is_none());
        let built_in = leaves(&self.defaults, "").into_iter().map(|(path, _)| path);
        built_in.chain(own).filter(|path| !path.starts_with("settings.")).collect()
    }

    /// The table of settings that have an environment name, as a source below the environment.
    pub(crate) fn environment(&self) -> MapSource {
        let pairs = leaves(&self.user, "").into_iter().filter_map(|(path, value)| {
            let name = path.strip_prefix("settings.")?;
            Some((name.to_owned(), plain(value)))
        });
        pairs.collect()
    }

    /// Says what is wrong with a name of the user's file, if it may not stand there.
    fn unknown(&self, path: &str, value: &Value) -> Option<Fault> {
        if find(&self.user, path).is_none() {
            return Some(Fault::new(path, "has a dot within quotes: write the part before it as a table"));
        }
        if let Some(name) = path.strip_prefix("settings.") {
            return match env::find(name) {
                None => Some(Fault::new(path, "is not a setting")),
                Some(setting) if setting.name == "UMS_CONFIG" => Some(Fault::new(path, "names this file: it has no effect here")),
                Some(setting) if setting.secret => Some(Fault::new(path, "is a secret: set it in the environment instead")),
                Some(_) if value.is_table() || value.is_array() => Some(Fault::new(path, "must be a string, a number, true or false")),
                Some(_) => None,
            };
        }
        let general = PER_PROVIDER.iter().find_map(|section| {
            let (provider, key) = path.strip_prefix(section)?.strip_prefix('.')?.split_once('.')?;
            ProviderKind::WORDS.contains(&provider).then(|| format!("{section}.{key}"))
        });
        let known = find(&self.defaults, general.as_deref().unwrap_or(path));
        let open = path.rsplit_once('.').is_some_and(|(section, _)| OPEN_TABLES.contains(&section));
        match known {
            Some(default) if default.is_table() => Some(Fault::new(path, "is a section: write it as a table")),
            Some(_) => None,
            None if open => None,
            None => {
                let names = leaves(&self.defaults, "");
                let hint = nearest(path, names.iter().map(|(name, _)| name.as_str())).map(|near| format!("; did you mean {near}?"));
                Some(Fault::new(path, format!("is not a setting{}", hint.unwrap_or_default())))
            }
        }
    }
}

/// Reads TOML; a fault names the line and nothing of its content.
fn table(text: &str, place: &str, faults: &mut Vec<Fault>) -> Table {
    text.parse::<Table>().unwrap_or_else(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        faults.push(Fault::new(
            place,
            format!("is not valid TOML at line {}", before.split('\n').count()),
        ));
        Table::new()
    })
}

/// The values of a table with their dotted names; empty tables count as values, so that misspelt
/// sections are seen.
fn leaves<'a>(table: &'a Table, prefix: &str) -> Vec<(String, &'a Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value.as_table() {
            Some(inner) if !inner.is_empty() => found.extend(leaves(inner, &path)),
            Some(_) if prefix.is_empty() => {}
            _ => found.push((path, value)),
        }
    }
    found
}

fn find<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => table.get(path),
        Some((head, rest)) => find(table.get(head)?.as_table()?, rest),
    }
}

/// A value as text, the way it would stand in the environment.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Datetime(time) => time.to_string(),
        Value::Table(_) => String::new(),
    }
}

/// The known name that a misspelt one is closest to, if it is close.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|word| (distance(name, word), word))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, word)| word)
}

/// Edits from one word to the other; names are short, so the simple table will do.
fn distance(from: &str, to: &str) -> usize {
    if from.len().abs_diff(to.len()) > 2 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(to.bytes()) {
            let edited = (diagonal + usize::from(a != b)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, edited);
            left = edited;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn faults_of(text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        TomlFile::parse(text, &mut faults);
        faults.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn the_built_in_file_is_valid() {
        assert_eq!(faults_of(""), Vec::<String>::new());
        assert_eq!(faults_of(DEFAULT_CONFIG), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_exist_is_refused_by_name() {
        assert_eq!(
            faults_of("[breaker]\nfailure = 3"),
            ["breaker.failure is not a setting; did you mean breaker.failures?"]
        );
        assert_eq!(
            faults_of("[breakers]\nfailures = 3"),
            ["breakers.failures is not a setting; did you mean breaker.failures?"]
        );
        assert_eq!(faults_of("[breaker.fax]\nfailures = 3"), ["breaker.fax.failures is not a setting"]);
        assert_eq!(faults_of("[settings]\nUMS_NO = 1\nUMS_API_KEY = 'canary'").len(), 2);
        assert_eq!(
            faults_of("[settings]\nUMS_LISTEN = '127.0.0.1:1'\n[breaker.smtp]\nfailures = 3\n[timeouts.twilio]\nreply = '9s'"),
            [""; 0]
        );
        assert_eq!(faults_of("[prices.twilio_per_segment]\n44 = '0.04'"), [""; 0]);
        assert_eq!(faults_of("settings = 3"), ["settings is a section: write it as a table"]);
        assert_eq!(
            faults_of("'breaker.failures' = 3"),
            ["breaker.failures has a dot within quotes: write the part before it as a table"]
        );
        assert_eq!(faults_of("pace = 3"), ["pace is a section: write it as a table"]);
        assert_eq!(faults_of("[pace]\nsmtp = 3"), ["pace.smtp is a section: write it as a table"]);
    }

    #[test]
    fn syntax_faults_name_the_line_and_no_content() {
        assert_eq!(
            faults_of("[breaker]\nfailures = 'canary"),
            ["the file of UMS_CONFIG is not valid TOML at line 2"]
        );
    }

    #[test]
    fn depth_is_a_fault_and_no_overflow() {
        for text in [
            format!("[{}a]", "a.".repeat(100_000)),
            format!("{}a = 1", "a.".repeat(100_000)),
            format!("a = {}", "[".repeat(100_000)),
        ] {
            assert_eq!(faults_of(&text).len(), 1);
        }
    }

    #[test]
    fn nearest_needs_a_small_difference() {
        let known = ["UMS_LISTEN", "UMS_LOG", "UMS_ENV"];
        assert_eq!(nearest("UMS_LISTENS", known.into_iter()), Some("UMS_LISTEN"));
        assert_eq!(nearest("UMS_PORT_80", known.into_iter()), None);
        assert_eq!(distance("kitten", "kittens"), 1);
        assert_eq!(distance("abc", "cba"), 2);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "(\\PC|[\n\\[\\]=.\"]){0,80}") {
            drop(faults_of(&text));
        }
    }
}
