//! What a person types: words of a closed set, `name=value` pairs, texts from files and from `-`.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::exit::{Usage, usage};

/// Reads one of a closed set of words, and names the set in help, errors and completions.
pub(crate) fn word<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = ums_core::UnknownWord> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| word.parse())
}

/// Reads `name=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    split(text, '=').ok_or_else(|| "must be written name=value".to_owned())
}

/// Reads `Name: value`.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    split(text, ':').ok_or_else(|| "must be written 'Name: value'".to_owned())
}

fn split(text: &str, at: char) -> Option<(String, String)> {
    let (name, value) = text.split_once(at)?;
    (!name.trim().is_empty()).then(|| (name.trim().to_owned(), value.trim().to_owned()))
}

/// Reads a time: RFC 3339 with an offset.
pub(crate) fn time(text: &str) -> Result<ums_core::Timestamp, String> {
    ums_core::Timestamp::parse_rfc3339(text).ok_or_else(|| "must be a time such as 2026-11-22T10:00:00Z".to_owned())
}

/// Reads a length of time: a whole number with a unit.
pub(crate) fn length(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    let found = units
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?.parse::<u32>().ok()?, *seconds)));
    match found {
        Some((number, seconds)) if number > 0 => Ok(Duration::from_secs(u64::from(number) * seconds)),
        Some(_) | None => Err("must be a length of time such as 90s, 30m, 2h or 7d".to_owned()),
    }
}

/// Files and standard input, each read whole and at most once.
#[derive(Debug, Default)]
pub(crate) struct Files {
    stdin_taken: bool,
}

impl Files {
    /// The text of a file, or of standard input for `-`.
    ///
    /// # Errors
    /// When it cannot be read, is larger than `max_bytes`, is not UTF-8, or standard input is
    /// asked for twice.
    pub(crate) fn text(&mut self, path: &Path, max_bytes: usize) -> Result<String> {
        let bytes = self.bytes(path, max_bytes)?;
        String::from_utf8(bytes).map_err(|_| usage(format!("{} is not UTF-8 text", path.display())))
    }

    /// The bytes of a file, or of standard input for `-`.
    ///
    /// # Errors
    /// As [`Files::text`].
    pub(crate) fn bytes(&mut self, path: &Path, max_bytes: usize) -> Result<Vec<u8>> {
        let named = || Usage(format!("cannot read {}", path.display()));
        let bytes = if path == Path::new("-") {
            if std::mem::replace(&mut self.stdin_taken, true) {
                return Err(usage("standard input (-) can be read only once: use it for one option"));
            }
            read_capped(io::stdin().lock(), max_bytes).with_context(named)?
        } else {
            read_capped(std::fs::File::open(path).with_context(named)?, max_bytes).with_context(named)?
        };
        if bytes.len() > max_bytes {
            return Err(usage(format!("{} is larger than {max_bytes} bytes", path.display())));
        }
        Ok(bytes)
    }

    /// A text given on the command line, in a file, or neither. A text `-` is standard input.
    ///
    /// # Errors
    /// As [`Files::text`].
    pub(crate) fn given(&mut self, text: Option<String>, file: Option<PathBuf>, max_bytes: usize) -> Result<Option<String>> {
        match (text, file) {
            (Some(text), _) if text == "-" => self.text(Path::new("-"), max_bytes).map(Some),
            (Some(text), _) => Ok(Some(text)),
            (None, Some(file)) => self.text(&file, max_bytes).map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// The beginning of a stream.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) bytes: Vec<u8>,
    /// Whether more followed.
    pub(crate) is_cut: bool,
}

/// Reads the first bytes of a stream, and drops up to `max_dropped` of those that follow.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn beginning(mut source: impl io::Read, max_bytes: usize, max_dropped: u64) -> io::Result<Beginning> {
    let mut bytes = Vec::new();
    source.by_ref().take(max_bytes as u64).read_to_end(&mut bytes)?;
    let dropped = io::copy(&mut source.take(max_dropped), &mut io::sink())?;
    Ok(Beginning {
        bytes,
        is_cut: dropped > 0,
    })
}

/// Reads one byte more than allowed, so that the caller sees that it was too much.
fn read_capped(source: impl io::Read, max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_keep_further_separators_in_the_value() {
        assert_eq!(pair("order=a=b").unwrap(), ("order".to_owned(), "a=b".to_owned()));
        assert_eq!(header("X-Ref: a: b").unwrap(), ("X-Ref".to_owned(), "a: b".to_owned()));
        assert!(pair("=x").is_err());
        assert!(header("no colon").is_err());
    }

    #[test]
    fn a_length_is_a_number_with_a_unit() {
        for (text, seconds) in [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("7d", 604_800)] {
            assert_eq!(length(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "2", "h", "0h", "-2h", "2 h", "1.5h", "2w", "99999999999d"] {
            assert!(length(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_endless_stream_has_a_beginning() {
        for (length, bytes, is_cut) in [(99, 99, false), (100, 100, false), (101, 100, true), (u64::MAX, 100, true)] {
            let mut source = io::repeat(b'x').take(length);
            let read = beginning(&mut source, 100, 50).unwrap();
            assert_eq!((read.bytes.len(), read.is_cut), (bytes, is_cut), "{length}");
            assert_eq!(source.limit(), length.saturating_sub(150), "{length}");
        }
    }

    #[test]
    fn a_file_is_never_read_beyond_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("big");
        std::fs::write(&file, vec![b'x'; 101]).unwrap();
        let error = Files::default().text(&file, 100).unwrap_err();
        assert!(error.to_string().ends_with("is larger than 100 bytes"), "{error}");
        assert_eq!(Files::default().text(&file, 101).unwrap().len(), 101);
    }
}
