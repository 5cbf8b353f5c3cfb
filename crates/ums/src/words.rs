//! Results in words, for people.

use ums_core::AttemptResult;

/// One attempt in one line.
pub(crate) fn attempt(attempt: &AttemptResult) -> String {
    let mut line = format!("{} {}", attempt.provider, attempt.outcome);
    if let Some(class) = attempt.class {
        line.push_str(&format!(" ({class}, {})", attempt.code.as_deref().unwrap_or("no code")));
    }
    if let Some(duration) = attempt.duration_ms {
        line.push_str(&format!(" in {duration} ms"));
    }
    if attempt.from_substituted {
        line.push_str(", from the provider's own sender");
    }
    line
}
