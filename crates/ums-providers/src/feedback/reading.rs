//! What all readers share: ids made of content, and limits for what is kept of a payload.

use mail_parser::DateTime;
use ring::digest::{SHA256, digest};
use ums_core::{EventSubject, Timestamp, redact};

/// Longest id of an event, in bytes.
pub(super) const MAX_ID_BYTES: usize = 255;
/// Longest address or number, in bytes (RFC 3696 says 254 for mail; 320 is what many systems keep).
const MAX_RECIPIENT_BYTES: usize = 320;
/// Longest provider's word or code, in bytes.
const MAX_WORD_BYTES: usize = 100;
/// Most of a raw event that is kept, in bytes.
const MAX_RAW_BYTES: usize = 4 * 1024;

/// An id made of what tells an event from others: the same parts give the same id.
pub(super) fn derived_id(parts: &[&str]) -> String {
    let mut text = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        // The length keeps apart what would run together: `ab`, `c` and `a`, `bc`.
        text.extend_from_slice(&part.len().to_be_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    hex(digest(&SHA256, &text).as_ref().get(..16).unwrap_or_default())
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _written = write!(text, "{byte:02x}");
        text
    })
}

/// The text, cut to so many bytes, between characters.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

/// A provider's word or code as it is kept; none when there is none. Words are shown and logged, so that one that holds an address is masked.
pub(super) fn word(text: &str) -> Option<String> {
    let text = redact(cut(text.trim(), MAX_WORD_BYTES));
    // A mask may be longer than what it hides.
    let text = cut(&text, MAX_WORD_BYTES);
    (!text.is_empty()).then(|| text.to_owned())
}

/// A raw event as it is kept.
pub(super) fn raw(text: &str) -> String {
    cut(text, MAX_RAW_BYTES).to_owned()
}

/// A recipient as it is kept; none when it cannot be one.
pub(super) fn recipient(text: &str) -> Option<String> {
    let text = text.trim();
    let fits = !text.is_empty() && text.len() <= MAX_RECIPIENT_BYTES && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    fits.then(|| text.to_owned())
}

/// A provider's id of a message; none when it cannot be one.
pub(super) fn message_id(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= MAX_ID_BYTES && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

/// Reads `Sun, 22 Nov 2026 10:00:00 +0000` (RFC 5322), and what is near enough to it.
pub(super) fn rfc5322(text: &str) -> Option<Timestamp> {
    let date = DateTime::parse_rfc822(text.trim()).filter(DateTime::is_valid)?;
    date.to_timestamp().checked_mul(1_000_000).map(Timestamp::from_micros)
}

/// What an event belongs to, by the ids that travelled with the message; what is no id of ours is left out.
pub(super) fn subject(message: Option<&str>, attempt: Option<&str>, provider_message_id: Option<String>) -> EventSubject {
    EventSubject {
        attempt_id: attempt.and_then(|text| text.trim().parse().ok()),
        message_id: message.and_then(|text| text.trim().parse().ok()),
        provider_message_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_content_keep_their_parts_apart() {
        assert_eq!(derived_id(&["a", "b"]), derived_id(&["a", "b"]));
        assert_ne!(derived_id(&["ab", "c"]), derived_id(&["a", "bc"]));
        assert_eq!(derived_id(&[]).len(), 32);
    }

    #[test]
    fn what_is_kept_has_limits_and_is_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "ä");
        assert_eq!(raw(&"ä".repeat(4_000)).len(), 4_096);
        assert_eq!(word(" a\u{7}b "), Some("a b".to_owned()));
        assert!(!word("to/ann@example.com").unwrap().contains("ann@"));
        assert!(!word("+15555550123").unwrap().contains("5550123"));
        assert_eq!(word(" "), None);
        let masked = word(&"@ a".repeat(40)).unwrap();
        assert!(masked.len() <= MAX_WORD_BYTES, "{masked}");
        assert_eq!(recipient("a b@example.com"), None);
        assert_eq!(recipient(&"a".repeat(321)), None);
        assert_eq!(recipient(" a@example.com "), Some("a@example.com".to_owned()));
    }

    #[test]
    fn only_ids_of_ours_are_taken() {
        let ours = "01930000-0000-7000-8000-000000000001";
        let about = subject(Some(ours), Some("somebody else's"), None);
        assert_eq!(about.message_id.unwrap().to_string(), ours);
        assert_eq!(about.attempt_id, None);
    }
}
