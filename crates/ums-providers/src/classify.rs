//! What an answer means: the defaults for HTTP, shared by all adapters.
//!
//! An adapter looks its own codes up in its own `FAILURES` table; whatever that does not name ends
//! here, is counted, and gets the class of its HTTP status.

mod retry_after;

use std::sync::atomic::{AtomicU64, Ordering};

use ums_core::{Failure, FailureClass, ProviderKind};

pub(crate) use self::retry_after::{http_date, retry_after};
use crate::http::Answer;

/// Longest code that is kept, in bytes.
const MAX_CODE_BYTES: usize = 64;

/// A provider's own codes and what each means; sorted by code.
pub(crate) type FailureTable = &'static [(&'static str, FailureClass)];

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

/// The class that an HTTP status has where no code says more.
pub(crate) const fn class_of_status(status: u16) -> FailureClass {
    match status {
        401..=407 | 410 | 411 | 415 | 421 | 426 | 451 | 501 | 300..=399 => FailureClass::Misconfigured,
        408 | 409 | 425 | 503 => FailureClass::Unavailable,
        429 => FailureClass::Throttled,
        400..=499 => FailureClass::InvalidMessage,
        _ => FailureClass::Unknown,
    }
}

/// Finds a code in a sorted table.
pub(crate) fn lookup(table: FailureTable, code: &str) -> Option<FailureClass> {
    let at = table.binary_search_by(|(row, _)| (*row).cmp(code)).ok()?;
    table.get(at).map(|(_, class)| *class)
}

/// A refusal with a code: its row in the first table that has one, else the class of the status.
///
/// `row` is the code, or the code with what the message text adds to it (`MessageRejected/sandbox`).
pub(crate) fn refusal(kind: ProviderKind, tables: &[FailureTable], row: &str, detail: &str, answer: &Answer<'_>) -> Failure {
    let code = row.split('/').next().unwrap_or_default();
    let class = tables
        .iter()
        .find_map(|table| lookup(table, row))
        .unwrap_or_else(|| unknown_code(kind, code, answer.status));
    Failure::provider(class, clean_code(code, answer.status), detail).with_retry_after(retry_after(class, answer))
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
    tracing::info!(event = "provider.unknown_code", provider = kind.as_str(), code = %clean_code(code, status), status, class = class.as_str());
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
mod tests {
    use super::*;

    #[test]
    fn statuses_have_the_classes_of_the_design() {
        use FailureClass as C;
        for (statuses, class) in [
            (&[400_u16, 413, 418, 422][..], C::InvalidMessage),
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
