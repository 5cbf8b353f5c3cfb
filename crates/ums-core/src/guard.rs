//! The header guard: which texts may stand in a header, a name or a subject.
//!
//! The guard runs before any library sees the text: e-mail libraries have panicked on line breaks in names and header names, or let
//! them through.

/// Longest subject, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 2_000;
/// Longest value of a custom header, in bytes.
pub const MAX_HEADER_VALUE_BYTES: usize = 900;
/// Longest name of a custom header, in bytes.
pub const MAX_HEADER_NAME_BYTES: usize = 76;

/// Why a text may not stand in a header. Never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// CR, LF, NUL or another control character, or a Unicode line break.
    #[error("must not contain line breaks or other control characters")]
    Control,
    /// Longer than the given number of bytes.
    #[error("must be at most {0} bytes")]
    TooLong(usize),
    /// Not a header name that a caller may set.
    #[error("is not a header that may be set; allowed are X-… and a few standard ones (see the documentation)")]
    NameNotAllowed,
}

/// Custom headers that a caller may set beside `X-…`; all others have a field of their own or
/// belong to the provider.
const STANDARD_HEADERS: [&str; 12] = [
    "Auto-Submitted",
    "Feedback-ID",
    "Importance",
    "In-Reply-To",
    "Keywords",
    "List-Help",
    "List-ID",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Organization",
    "Precedence",
    "References",
];

/// Prefixes of `X-…` names that belong to a provider: a caller who sets one would change how the provider handles the mail.
const PROVIDER_PREFIXES: [&str; 5] = ["x-ses-", "x-sg-", "x-smtpapi", "x-twilio-", "x-ums-"];

/// Whether a character would break or smuggle a header line.
pub fn is_forbidden(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
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

/// Checks the name of a custom header.
///
/// # Errors
/// [`HeaderFault::NameNotAllowed`] unless the name is a standard one that callers may set, or `X-…` and not a provider's.
pub fn header_name(name: &str) -> Result<(), HeaderFault> {
    if name.len() > MAX_HEADER_NAME_BYTES {
        return Err(HeaderFault::TooLong(MAX_HEADER_NAME_BYTES));
    }
    if STANDARD_HEADERS.iter().any(|standard| standard.eq_ignore_ascii_case(name)) {
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

    proptest! {
        #[test]
        fn an_allowed_name_is_a_token(name in "\\PC{0,40}") {
            if header_name(&name).is_ok() {
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
            }
        }
    }
}
