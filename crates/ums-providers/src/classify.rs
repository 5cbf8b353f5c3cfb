//! What an answer means: the defaults for HTTP, shared by all adapters.
//!
//! 1. An adapter looks its provider's code up in its own `FAILURES` table; among the rows of a code the words decide.
//! 2. Words about the account, the sender, the quota or the provider's policy overrule a code that blames the message ([`words`]).
//! 3. A code that no table names is counted. Its own words are read as such words; without any it gets the class of its HTTP status.
//!
//! **Invariant:** no answer that nobody can read ends a message: see [`class_of_status`].

mod retry_after;
#[cfg(test)]
mod tests;
pub(crate) mod words;

use std::sync::atomic::{AtomicU64, Ordering};

use ums_core::{Failure, FailureClass, ProviderKind};

pub(crate) use self::retry_after::{http_date, retry_after};
use crate::failure_table::{Row, Table, find};
use crate::http::Answer;

/// Longest code that is kept, in bytes.
const MAX_CODE_BYTES: usize = 64;

/// Provider answers with a code that no table names, since the start.
static UNKNOWN_CODES: AtomicU64 = AtomicU64::new(0);

/// How many answers had a code that no table names, since the program's start.
pub fn unknown_codes() -> u64 {
    UNKNOWN_CODES.load(Ordering::Relaxed)
}

/// What the adapter knows about the message whose answer it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Whether the sender is one that the caller chose, so that its refusal is no fault of ours.
    pub(crate) callers_sender: bool,
    /// Whether there is one recipient, so that a refused recipient is that one.
    pub(crate) one_recipient: bool,
}

impl Sent {
    /// What is assumed about a message that is not known.
    pub(crate) const UNKNOWN: Self = Self {
        callers_sender: false,
        one_recipient: true,
    };
}

/// The class that an HTTP status has where neither code nor words say more.
///
/// A 4xx of an unknown kind is `unsupported`: this provider does not take the message, and nobody knows whose fault it is. The row costs one
/// call to each other provider if the message is at fault, and no breaker opens for it. `invalid_message` would end every message if the
/// account is at fault; `misconfigured` would close the provider to all if one message is.
pub(crate) const fn class_of_status(status: u16) -> FailureClass {
    match status {
        401..=407 | 410 | 411 | 415 | 421 | 426 | 451 | 501 | 300..=399 => FailureClass::Misconfigured,
        408 | 409 | 425 | 503 => FailureClass::Unavailable,
        429 => FailureClass::Throttled,
        400..=499 => FailureClass::Unsupported,
        _ => FailureClass::Unknown,
    }
}

/// The row of the first table that has one. Two interfaces of one service spell a code with and without `Exception`; tables do without.
pub(crate) fn row_of(tables: &[Table], code: &str, text: &str) -> Option<&'static Row> {
    let code = code.strip_suffix("Exception").unwrap_or(code);
    tables.iter().find_map(|table| find(*table, code, text))
}

/// A refusal with a code: what tables, words and status make of it.
///
/// `code` is the provider's code, or the code with what the adapter knows of the message (`MessageRejected/sandbox`).
pub(crate) fn refusal(kind: ProviderKind, tables: &[Table], (code, sent): (&str, Sent), detail: &str, answer: &Answer<'_>) -> Failure {
    let row = row_of(tables, code, &detail.to_lowercase());
    let bare = code.split('/').next().unwrap_or_default();
    // What one provider cannot carry was found by the code, or by vague words: "exceed" stands in "daily quota exceeded", too.
    let is_vague = |row: &&Row| row.class == FailureClass::Unsupported && !row.words.is_empty();
    let of_code = row.filter(|row| !is_vague(row)).map(|row| row.class);
    let class = by_words(of_code, bare, detail, sent, answer.status)
        .or(row.map(|row| row.class))
        .unwrap_or_else(|| unknown_code(kind, bare, answer.status));
    Failure::provider(class, clean_code(bare, answer.status), detail).with_retry_after(retry_after(class, answer))
}

/// The class by words about the account or the sender, where they overrule the code's. What is unknown and no 4xx may have been accepted.
fn by_words(of_code: Option<FailureClass>, code: &str, detail: &str, sent: Sent, status: u16) -> Option<FailureClass> {
    if of_code.is_none() && !(400..=499).contains(&status) {
        return None;
    }
    let of_text = words::overruling(of_code, detail);
    let of_name = || words::overruling(of_code, &words::words_of(code)).filter(|_| of_code.is_none());
    let (row, about) = of_text.or_else(of_name)?;
    let is_callers = about == words::About::Sender && sent.callers_sender;
    Some(if is_callers { FailureClass::Unsupported } else { row.class })
}

/// A refusal without a readable code: the status is all that is known.
pub(crate) fn refusal_by_status(kind: ProviderKind, detail: &str, answer: &Answer<'_>) -> Failure {
    let class = unknown_code(kind, "", answer.status);
    Failure::provider(class, answer.status.to_string(), detail).with_retry_after(retry_after(class, answer))
}

/// A 2xx that does not say which message was taken: it may have been.
pub(crate) fn success_without_id(answer: &Answer<'_>) -> Failure {
    Failure::provider(
        FailureClass::Unknown,
        answer.status.to_string(),
        "accepted by status, but the answer holds no message id",
    )
}

fn unknown_code(kind: ProviderKind, code: &str, status: u16) -> FailureClass {
    UNKNOWN_CODES.fetch_add(1, Ordering::Relaxed);
    let class = class_of_status(status);
    tracing::warn!(event = "provider.unknown_code", provider = kind.as_str(), code = %clean_code(code, status), status, class = class.as_str());
    class
}

/// A code is a word; whatever else a provider puts in its place is not kept.
fn clean_code(code: &str, status: u16) -> String {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if code.is_empty() || code.len() > MAX_CODE_BYTES || !code.bytes().all(is_word) {
        return status.to_string();
    }
    code.to_owned()
}

#[cfg(test)]
mod defaults {
    use super::*;

    #[test]
    fn statuses_have_the_classes_of_the_design() {
        use FailureClass as C;
        for (statuses, class) in [
            (&[400_u16, 413, 418, 422][..], C::Unsupported),
            (&[301, 401, 402, 403, 404, 405, 406], C::Misconfigured),
            (&[408, 503], C::Unavailable),
            (&[429], C::Throttled),
            (&[100, 200, 202, 500, 502, 504, 520, 599, 0, 999], C::Unknown),
        ] {
            for status in statuses {
                assert_eq!(class_of_status(*status), class, "{status}");
            }
        }
    }

    #[test]
    fn a_code_that_is_no_word_is_not_kept() {
        assert_eq!(clean_code("MessageRejected", 400), "MessageRejected");
        for bad in ["", "customer@example.com", "a b", &"x".repeat(65)] {
            assert_eq!(clean_code(bad, 400), "400", "{bad}");
        }
    }
}
