//! The one rule for names of attached files: a name that every provider carries, and that a mail program saves as what people saw.

use crate::guard::{HeaderFault, looks_encoded, shown_text};

/// Longest name of a file, in bytes (Amazon SES takes 255 characters, most file systems 255 bytes).
pub const MAX_BYTES: usize = 255;

/// Why a text is no name of a file. Never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileNameFault {
    /// Empty, nothing but dots and white space, or a path.
    #[error("must be a file name without a path, and not . or ..")]
    NotAName,
    /// A mail program would decode the name, and save the file under another one that no rule has seen.
    #[error("must not look like an encoded word (=?utf-8?…?=): give the name itself, in UTF-8")]
    Encoded,
    /// No text that people may be shown, or too long.
    #[error(transparent)]
    Text(#[from] HeaderFault),
}

/// Checks the name of a file.
///
/// # Errors
/// The first [`FileNameFault`] of the name.
pub fn check(name: &str) -> Result<(), FileNameFault> {
    let is_bare = name.chars().all(|character| character == '.' || character.is_whitespace());
    if is_bare || name.contains(['/', '\\']) {
        return Err(FileNameFault::NotAName);
    }
    shown_text(name, MAX_BYTES)?;
    if looks_encoded(name) {
        return Err(FileNameFault::Encoded);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_carried_or_refused_with_words() {
        let (longest, too_long) = ("x".repeat(MAX_BYTES), "é".repeat(MAX_BYTES / 2 + 1));
        let not_a_name = Err(FileNameFault::NotAName);
        let control = Err(FileNameFault::Text(HeaderFault::Control));
        let direction = Err(FileNameFault::Text(HeaderFault::Direction));
        for (name, expected) in [
            ("receipt.pdf", Ok(())),
            ("Rechnung März (2).pdf", Ok(())),
            ("חשבונית\u{200f} 7.pdf", Ok(())),
            (".profile", Ok(())),
            ("..a", Ok(())),
            ("a..b", Ok(())),
            ("a", Ok(())),
            ("what=?.txt", Ok(())),
            ("=?utf-8?.txt", Ok(())),
            (longest.as_str(), Ok(())),
            ("", not_a_name),
            (" ", not_a_name),
            (".", not_a_name),
            ("..", not_a_name),
            ("...", not_a_name),
            (". .", not_a_name),
            ("\u{a0}", not_a_name),
            ("a/b.txt", not_a_name),
            ("../b.txt", not_a_name),
            ("/etc/passwd", not_a_name),
            ("..\\b.txt", not_a_name),
            ("C:\\b.txt", not_a_name),
            ("=?utf-8?b?Li4vYi50eHQ=?=", Err(FileNameFault::Encoded)),
            ("a =?UTF-8?Q?=2E=2E?= b", Err(FileNameFault::Encoded)),
            ("a\r\nX: y.txt", control),
            ("a\0.txt", control),
            ("a\t.txt", control),
            ("a\u{1b}[2J.txt", control),
            ("a\u{7f}.txt", control),
            ("a\u{9b}2J.txt", control),
            ("a\u{2028}.txt", control),
            ("invoice\u{202e}fdp.exe", direction),
            ("invoice\u{2066}fdp.exe", direction),
            (too_long.as_str(), Err(FileNameFault::Text(HeaderFault::TooLong(MAX_BYTES)))),
        ] {
            assert_eq!(check(name), expected, "{name:?}");
        }
    }
}
