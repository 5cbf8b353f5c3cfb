//! Reads settings one by one and collects what is wrong with them, so that all faults are
//! reported at once.

use std::ops::RangeInclusive;
use std::time::Duration;

use ums_core::{ProviderKind, Secret};

use crate::layered::Layered;
use crate::source::{Origin, Source};
use crate::toml_file::{self, TomlFile};
use crate::{Fault, duration, env};

/// What the sections read from.
pub(crate) struct Reader<'a> {
    sources: &'a Layered,
    /// The file's `[settings]`, below all other sources.
    below: crate::MapSource,
    /// The configuration file.
    pub(crate) file: TomlFile,
    /// What is wrong.
    pub(crate) faults: Vec<Fault>,
    /// What works but deserves a look.
    pub(crate) warnings: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(sources: &'a Layered, below: crate::MapSource, file: TomlFile, mut faults: Vec<Fault>) -> Self {
        faults.extend(sources.faults());
        let mut reader = Self {
            sources,
            below,
            file,
            faults,
            warnings: Vec::new(),
        };
        reader.point_out_misspelt_names();
        reader
    }

    /// Names that begin as ours do and are none: a warning only, since container platforms put
    /// variables of their own beside them (`UMS_SERVICE_HOST`).
    fn point_out_misspelt_names(&mut self) {
        let mut names = self.sources.names();
        names.sort();
        names.dedup();
        for name in names
            .into_iter()
            .filter(|name| name.starts_with("UMS_") && env::find(name).is_none() && name != crate::failpoint::NAME)
        {
            let known = env::SETTINGS.iter().map(|setting| setting.name);
            let hint = toml_file::nearest(&name, known)
                .map(|near| format!("; did you mean {near}?"))
                .unwrap_or_default();
            self.warnings
                .push(Fault::new(name, format!("is not a setting and has no effect{hint}")));
        }
    }

    /// A value by its environment name, and where it came from.
    pub(crate) fn find(&self, name: &str) -> Option<(String, Origin)> {
        debug_assert!(env::find(name).is_some(), "{name} is not in the registry");
        self.sources.find(name).or_else(|| {
            let value = self.below.get(name)?;
            (!value.trim().is_empty()).then(|| (value.trim().to_owned(), Origin::File))
        })
    }

    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub(crate) fn fault(&mut self, setting: impl Into<String>, reason: impl Into<String>) {
        self.faults.push(Fault::new(setting, reason));
    }

    pub(crate) fn has_fault(&self, setting: &str) -> bool {
        self.faults.iter().any(|fault| fault.setting == setting)
    }

    pub(crate) fn warn(&mut self, setting: impl Into<String>, reason: impl Into<String>) {
        self.warnings.push(Fault::new(setting, reason));
    }

    /// A value without control characters.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        let (text, _) = self.find(name)?;
        if text.chars().any(char::is_control) {
            self.fault(name, "must not contain line breaks or other control characters");
            return None;
        }
        Some(text)
    }

    /// A value that `read` understands; its complaint becomes a fault.
    pub(crate) fn parsed<T, E: ToString>(&mut self, name: &'static str, read: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let text = self.text(name)?;
        read(&text).map_err(|reason| self.fault(name, reason.to_string())).ok()
    }

    /// An identifier that becomes part of a URL or header: visible ASCII.
    pub(crate) fn token(&mut self, name: &'static str) -> Option<String> {
        self.parsed(name, |text| {
            let fine = text.bytes().all(|byte| byte.is_ascii_graphic());
            if fine {
                Ok(text.to_owned())
            } else {
                Err("must be visible ASCII characters without spaces")
            }
        })
    }

    /// A credential made of visible ASCII.
    pub(crate) fn secret(&mut self, name: &'static str) -> Option<Secret> {
        self.token(name).map(Secret::new)
    }

    /// A list separated by commas; blank entries are left out.
    pub(crate) fn list(&mut self, name: &'static str) -> Option<Vec<String>> {
        let text = self.text(name)?;
        Some(
            text.split(',')
                .map(str::trim)
                .filter(|entry| !entry.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }

    /// Yes or no of the file.
    pub(crate) fn flag(&mut self, path: &str) -> bool {
        let read = self.file.value(path).and_then(toml::Value::as_bool);
        read.unwrap_or_else(|| {
            self.fault(path, "must be true or false");
            false
        })
    }

    /// A whole number of the file, within its bounds.
    pub(crate) fn number(&mut self, path: &str, bounds: RangeInclusive<u32>) -> u32 {
        let read = self
            .file
            .value(path)
            .and_then(toml::Value::as_integer)
            .and_then(|number| u32::try_from(number).ok());
        read.filter(|number| bounds.contains(number)).unwrap_or_else(|| {
            self.fault(path, format!("must be a whole number from {} to {}", bounds.start(), bounds.end()));
            *bounds.start()
        })
    }

    /// A whole number of the file, within its bounds, or a word that stands for one.
    pub(crate) fn number_or_word(&mut self, path: &str, bounds: RangeInclusive<u32>, (word, number): (&str, u32)) -> u32 {
        match self.file.value(path) {
            Some(toml::Value::String(text)) if text.trim() == word => number,
            Some(toml::Value::Integer(_)) => self.number(path, bounds),
            _ => {
                self.fault(
                    path,
                    format!("must be a whole number from {} to {}, or \"{word}\"", bounds.start(), bounds.end()),
                );
                number
            }
        }
    }

    /// A span of time of the file, within its bounds.
    pub(crate) fn span(&mut self, path: &str, bounds: RangeInclusive<Duration>) -> Duration {
        let read = self.file.value(path).and_then(toml::Value::as_str).and_then(duration::parse);
        self.bounded(path, read, &bounds)
    }

    fn bounded(&mut self, path: &str, read: Option<Duration>, bounds: &RangeInclusive<Duration>) -> Duration {
        read.filter(|span| bounds.contains(span)).unwrap_or_else(|| {
            let (least, most) = (duration::show(*bounds.start()), duration::show(*bounds.end()));
            self.fault(path, format!("must be a span of time such as \"30s\", from {least} to {most}"));
            *bounds.start()
        })
    }

    /// A list of spans of time of the file, not empty, each within the bounds.
    pub(crate) fn spans(&mut self, path: &str, bounds: RangeInclusive<Duration>) -> Vec<Duration> {
        let items: Option<Vec<_>> = self
            .file
            .value(path)
            .and_then(toml::Value::as_array)
            .map(|items| items.iter().map(|item| item.as_str().and_then(duration::parse)).collect());
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            self.fault(path, "must be a list of spans of time such as [\"5s\", \"30s\"], not empty");
            return Vec::new();
        };
        items
            .into_iter()
            .enumerate()
            .map(|(index, span)| self.bounded(&format!("{path}[{index}]"), span, &bounds))
            .collect()
    }

    /// A text of the file; none when it is empty.
    pub(crate) fn file_text(&mut self, path: &str) -> Option<String> {
        let Some(text) = self.file.value(path).and_then(toml::Value::as_str) else {
            self.fault(path, "must be a string");
            return None;
        };
        let text = text.trim().to_owned();
        if text.chars().any(char::is_control) {
            self.fault(path, "must not contain line breaks or other control characters");
            return None;
        }
        (!text.is_empty()).then_some(text)
    }

    /// A text of the file that `read` understands; none when it is empty.
    pub(crate) fn file_parsed<T, E: ToString>(&mut self, path: &str, read: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let text = self.file_text(path)?;
        read(&text).map_err(|reason| self.fault(path, reason.to_string())).ok()
    }

    /// A text of the file that `read` understands, else a fault with `reason`.
    pub(crate) fn file_word<T>(&mut self, path: &str, reason: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let word = self.file.value(path).and_then(toml::Value::as_str).and_then(read);
        if word.is_none() {
            self.fault(path, reason);
        }
        word
    }

    /// A list of texts of the file.
    pub(crate) fn file_list(&mut self, path: &str) -> Vec<String> {
        let items: Option<Vec<String>> = self
            .file
            .value(path)
            .and_then(toml::Value::as_array)
            .and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        items.unwrap_or_else(|| {
            self.fault(path, "must be a list of strings");
            Vec::new()
        })
    }

    /// The dotted name that holds for one provider.
    pub(crate) fn path_for(&self, section: &str, provider: ProviderKind, key: &str) -> String {
        self.file.path_for(section, provider, key)
    }

    /// One fault for each setting that a half configuration lacks.
    pub(crate) fn missing(&mut self, names: &[&'static str], because: &str) {
        for name in names {
            self.fault(*name, format!("is missing: {because}"));
        }
    }
}
