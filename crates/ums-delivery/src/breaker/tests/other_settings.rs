//! What a breaker makes of a state that was learned with other settings.

use std::time::Duration;

use ums_core::{BreakerStateWord, FailureClass};

use super::{Breaker, Verdict, at, breaker, failure, refused, settings, state};

#[test]
fn what_was_learned_with_other_settings_lets_one_message_through_at_once() {
    let classes = [FailureClass::Misconfigured, FailureClass::QuotaExhausted, FailureClass::Unavailable];
    for class in classes {
        let before = breaker(settings());
        for _ in 0..5 {
            if let Ok(permit) = Breaker::admit(before.clone(), at(0)) {
                permit.settle(Verdict::Failure(&failure(class)), at(0));
            }
        }
        assert_eq!(state(&before, 0), BreakerStateWord::Open);
        let after = breaker(settings());
        after.restore_of_others(&before.to_json(at(0)), at(1));
        assert_eq!(state(&after, 1), BreakerStateWord::HalfOpen, "{class}");
        assert!(after.snapshot(at(1)).last_failure.is_some(), "people still see what failed");
        let permit = Breaker::admit(after.clone(), at(1)).expect("a message is let through");
        assert!(permit.is_probe() && !permit.ask_first(), "it is the message itself that probes");
        assert!(Breaker::admit(after.clone(), at(1)).is_err(), "one at a time");
        permit.settle(Verdict::Failure(&failure(FailureClass::Misconfigured)), at(1));
        let wait = refused(&after, 1).reopens_in;
        assert!(wait <= Duration::from_mins(1), "the waits begin anew: {wait:?}");
    }
    let paused = breaker(settings());
    let throttled = failure(FailureClass::Throttled).with_retry_after(Some(Duration::from_mins(10)));
    let permit = Breaker::admit(paused.clone(), at(0)).unwrap();
    permit.settle(Verdict::Failure(&throttled), at(0));
    let after = breaker(settings());
    after.restore_of_others(&paused.to_json(at(0)), at(1));
    assert_eq!(state(&after, 1), BreakerStateWord::Closed);
    assert!(Breaker::admit(after, at(1)).is_ok(), "the pause was for others");
}
