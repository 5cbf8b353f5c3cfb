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
    let settled = attempt.settled_by.map(|by| format!(" ({})", by.describe())).unwrap_or_default();
    let unknown = attempt
        .unknown_until
        .map(|until| format!(", unknown until {until}"))
        .unwrap_or_default();
    format!("{} {}{settled}{why}{took}{unknown}{sender}", attempt.provider, attempt.outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_tells_who_settled_it_and_until_when_it_was_unknown() {
        let attempt = |json| attempt(&serde_json::from_value(json).unwrap());
        let call = serde_json::json!({"provider": "aws_ses", "outcome": "accepted", "class": null, "code": null, "duration_ms": 12});
        assert_eq!(attempt(call.clone()), "aws_ses accepted in 12 ms");
        let mut settled = call;
        settled["settled_by"] = "feedback".into();
        settled["unknown_until"] = "2026-11-22T10:00:00Z".into();
        assert_eq!(
            attempt(settled),
            "aws_ses accepted (settled by feedback) in 12 ms, unknown until 2026-11-22T10:00:00Z"
        );
    }
}
