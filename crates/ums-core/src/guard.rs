//! The header guard: which texts may stand in a header, a name or a subject.
//!
//! The guard runs before any library sees the text: e-mail libraries have panicked on line breaks in names and header names, or let
//! them through.

/// Longest subject, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 2_000;
/// Longest value of a custom header, in bytes.
pub const MAX_HEADER_VALUE_BYTES: usize = 8_000;
/// Longest line of a message, in bytes without its line end (RFC 5322 §2.1.1).
pub const MAX_LINE_BYTES: usize = 998;
/// Longest name of a custom header, in bytes.
pub const MAX_HEADER_NAME_BYTES: usize = 76;

/// Why a text may not stand in a header. Never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// CR, LF, NUL or another control character, or a Unicode line break.
    #[error("must not contain line breaks or other control characters")]
    Control,
    /// An embedding, override or isolate: people would be shown the text in another order.
    #[error("must not contain characters that turn the direction of text (U+202A to U+202E, U+2066 to U+2069)")]
    Direction,
    /// Longer than the given number of bytes.
    #[error("must be at most {0} bytes")]
    TooLong(usize),
    /// Not a header name that a caller may set.
    #[error("is not a header that may be set; allowed are X-… and a few standard ones (see the documentation)")]
    NameNotAllowed,
    /// A structured header with other letters than ASCII: no encoded word may stand there (RFC 2047 §5).
    #[error("must hold ASCII characters only: mail programs decode nothing in this header")]
    NotAscii,
    /// A word that makes a line too long. Lines are broken at white space only, so that the value stays as it is.
    #[error("must have white space in every {MAX_LINE_BYTES} bytes, because a line of a message is not longer")]
    Unfoldable,
}

/// How the value of a custom header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderForm {
    /// A grammar of its own, without encoded words: the value travels byte for byte.
    Structured,
    /// Phrases with commas between them, of which each may be encoded.
    Phrases,
    /// Text, which is encoded as a whole where it must be (RFC 2047 §5).
    Text,
}

/// Custom headers that a caller may set beside `X-…`, which are text; all others have a field of their own or belong to the provider.
const STANDARD_HEADERS: [(&str, HeaderForm); 16] = [
    // RFC 3834 §5.
    ("Auto-Submitted", HeaderForm::Structured),
    // Gmail's postmaster tools: `a:b:c:sender`.
    ("Feedback-ID", HeaderForm::Structured),
    // RFC 2156 §5.3.4: one word.
    ("Importance", HeaderForm::Structured),
    // RFC 5322 §3.6.4: message ids.
    ("In-Reply-To", HeaderForm::Structured),
    // RFC 5322 §3.6.5: phrases.
    ("Keywords", HeaderForm::Phrases),
    // RFC 2369 §3: URLs.
    ("List-Archive", HeaderForm::Structured),
    ("List-Help", HeaderForm::Structured),
    // RFC 2919 §3.
    ("List-ID", HeaderForm::Structured),
    ("List-Owner", HeaderForm::Structured),
    ("List-Post", HeaderForm::Structured),
    ("List-Subscribe", HeaderForm::Structured),
    ("List-Unsubscribe", HeaderForm::Structured),
    // RFC 8058 §3.1.
    ("List-Unsubscribe-Post", HeaderForm::Structured),
    ("Organization", HeaderForm::Text),
    // RFC 3834 §3.1.8 and RFC 2076: one word.
    ("Precedence", HeaderForm::Structured),
    ("References", HeaderForm::Structured),
];

/// Prefixes of `X-…` names that belong to a provider: a caller who sets one would change how the provider handles the mail.
const PROVIDER_PREFIXES: [&str; 5] = ["x-ses-", "x-sg-", "x-smtpapi", "x-twilio-", "x-ums-"];

/// Whether a character would break or smuggle a header line.
pub fn is_forbidden(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Whether a character turns the direction of the text behind it (Unicode's `Bidi_Control`, without the marks, which only stand beside a letter).
pub const fn turns_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Checks a text that becomes (part of) a header value.
///
/// # Errors
/// [`HeaderFault::Control`] or [`HeaderFault::TooLong`].
pub fn header_text(text: &str, max_bytes: usize) -> Result<(), HeaderFault> {
    if text.len() > max_bytes {
        return Err(HeaderFault::TooLong(max_bytes));
    }
    if text.chars().any(is_forbidden) {
        return Err(HeaderFault::Control);
    }
    Ok(())
}

/// Checks a name that people are shown as it is: in a table, in a log, in a mail program.
///
/// # Errors
/// As [`header_text`], and [`HeaderFault::Direction`].
pub fn shown_text(text: &str, max_bytes: usize) -> Result<(), HeaderFault> {
    header_text(text, max_bytes)?;
    if text.chars().any(turns_direction) {
        return Err(HeaderFault::Direction);
    }
    Ok(())
}

/// Whether a reader would take a part of the text for an encoded word (RFC 2047 §2): `=?charset?B?…?=`.
pub fn looks_encoded(text: &str) -> bool {
    text.match_indices("=?").any(|(at, opening)| {
        let rest = text.get(at + opening.len()..).unwrap_or_default();
        let mut parts = rest.splitn(3, '?').skip(1);
        let encoding = parts.next().unwrap_or_default();
        let is_encoding = encoding.eq_ignore_ascii_case("b") || encoding.eq_ignore_ascii_case("q");
        is_encoding && parts.next().is_some_and(|words| words.contains("?="))
    })
}

/// Checks the name of a custom header.
///
/// # Errors
/// [`HeaderFault::NameNotAllowed`] unless the name is a standard one that callers may set, or `X-…` and not a provider's.
pub fn header_name(name: &str) -> Result<(), HeaderFault> {
    if name.len() > MAX_HEADER_NAME_BYTES {
        return Err(HeaderFault::TooLong(MAX_HEADER_NAME_BYTES));
    }
    if standard_form(name).is_some() {
        return Ok(());
    }
    let lower = name.to_ascii_lowercase();
    let own = lower
        .strip_prefix("x-")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    if own && !PROVIDER_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
        Ok(())
    } else {
        Err(HeaderFault::NameNotAllowed)
    }
}

/// How the value of a header that may be set is written.
pub fn header_form(name: &str) -> HeaderForm {
    standard_form(name).unwrap_or(HeaderForm::Text)
}

fn standard_form(name: &str) -> Option<HeaderForm> {
    let row = STANDARD_HEADERS.iter().find(|(standard, _)| standard.eq_ignore_ascii_case(name));
    row.map(|(_, form)| *form)
}

/// Checks the value of a custom header.
///
/// # Errors
/// Any [`HeaderFault`] but the one about the name. The same values pass for every provider.
pub fn header_value(name: &str, value: &str) -> Result<(), HeaderFault> {
    header_text(value, MAX_HEADER_VALUE_BYTES)?;
    if header_form(name) == HeaderForm::Structured && !value.is_ascii() {
        return Err(HeaderFault::NotAscii);
    }
    let room = MAX_LINE_BYTES.saturating_sub(name.len() + ": ".len());
    if foldable_pieces(value).any(|piece| piece.len() > room) {
        return Err(HeaderFault::Unfoldable);
    }
    Ok(())
}

/// The pieces of a value, each with the spaces before it. A line may be broken before a piece (RFC 5322 §2.2.3).
pub fn foldable_pieces(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = value;
    std::iter::from_fn(move || {
        let word = rest.len() - rest.trim_start_matches(' ').len();
        let end = rest.get(word..)?.find(' ').map_or(rest.len(), |space| word + space);
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn line_breaks_of_every_kind_are_refused() {
        for bad in ["\r", "\n", "\0", "\x0b", "\u{85}", "\u{2028}", "\u{2029}", "\x7f", "\t"] {
            assert_eq!(header_text(&format!("a{bad}Bcc: x"), 100), Err(HeaderFault::Control), "{bad:?}");
        }
        assert_eq!(header_text("Grüße 🎉", 100), Ok(()));
        assert_eq!(header_text("12345", 4), Err(HeaderFault::TooLong(4)));
    }

    #[test]
    fn header_names_are_an_allow_list() {
        for good in ["X-Order", "x-order-id", "List-Unsubscribe", "in-reply-to"] {
            assert_eq!(header_name(good), Ok(()), "{good}");
        }
        for bad in [
            "Bcc",
            "To",
            "X-",
            "X-Bad\r\nBcc",
            "X-Bad: a",
            "X-Grün",
            "",
            "X-SES-CONFIGURATION-SET",
            "x-smtpapi",
        ] {
            assert_eq!(header_name(bad), Err(HeaderFault::NameNotAllowed), "{bad}");
        }
    }

    #[test]
    fn values_are_refused_for_every_provider_or_for_none() {
        let ids = (0..40).map(|n| format!("<{n:020}@mail.example.com>")).collect::<Vec<_>>().join(" ");
        let long = "x".repeat(985);
        for (name, value, expected) in [
            ("List-Unsubscribe", "<https://app.example.com/u?next=?a&b=?=1>", Ok(())),
            ("References", ids.as_str(), Ok(())),
            ("List-Unsubscribe", "<https://app.example.com/ü>", Err(HeaderFault::NotAscii)),
            ("list-id", "Zoë <l.example.com>", Err(HeaderFault::NotAscii)),
            ("X-Note", "Grüße", Ok(())),
            ("Keywords", "Köln, Bonn", Ok(())),
            ("X-Long", &format!("a {long} b"), Ok(())),
            ("X-Longer-Name", &format!("a {long} b"), Err(HeaderFault::Unfoldable)),
            ("X-A", &format!("a{}b", " ".repeat(1_000)), Err(HeaderFault::Unfoldable)),
            ("X-A", "a\tb", Err(HeaderFault::Control)),
            ("X-A", &"a ".repeat(4_001), Err(HeaderFault::TooLong(MAX_HEADER_VALUE_BYTES))),
        ] {
            assert_eq!(header_value(name, value), expected, "{name}: {value}");
        }
    }

    #[test]
    fn the_documentation_names_each_header_in_the_row_of_its_form() {
        let text = include_str!("../../../docs/content.md");
        for (name, form) in STANDARD_HEADERS {
            let value = match form {
                HeaderForm::Structured => "structured: ",
                HeaderForm::Phrases => "phrases ",
                HeaderForm::Text => "text; ",
            };
            let names_it = |line: &&str| line.starts_with('|') && line.contains(&format!("`{name}`"));
            let row = text.lines().find(names_it).unwrap_or_default();
            assert!(row.contains(&format!("| {value}")), "{name}");
        }
    }

    proptest! {
        #[test]
        fn an_allowed_name_is_a_token(name in "\\PC{0,40}") {
            if header_name(&name).is_ok() {
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
            }
        }
    }
}
