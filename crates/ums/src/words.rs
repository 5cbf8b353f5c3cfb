//! Results in words, for people.

use ums_core::AttemptResult;

/// One attempt in one line.
pub(crate) fn attempt(attempt: &AttemptResult) -> String {
    let code = attempt.code.as_deref().unwrap_or("no code");
    let why = attempt.class.map(|class| format!(" ({class}, {code})")).unwrap_or_default();
    let took = attempt.duration_ms.map(|millis| format!(" in {millis} ms")).unwrap_or_default();
    let sender = if attempt.from_substituted {
        ", from the provider's own sender"
    } else {
        ""
    };
    format!("{} {}{why}{took}{sender}", attempt.provider, attempt.outcome)
}
