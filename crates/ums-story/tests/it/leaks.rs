//! What may name an address, and what must not.

use ums_core::{FailureClass, ProviderKind, Status, Work};
use ums_story::{Explanation, MessageStory};

use crate::records::{at, record, refused, stand, stands, taken};

#[test]
fn only_refused_and_held_recipients_are_named_and_debug_names_nobody() {
    let mut record = record(&["canary-a@example.com", "canary-b@example.com"]);
    stand(&mut record, Status::Sent);
    stands(&mut record, 1, Status::Queued, None);
    record.work = Work::Due(at(60_000));
    let mut attempt = taken(ProviderKind::Smtp, 5, &[0]);
    attempt.refused.push(refused(1, FailureClass::Throttled, "452 4.5.3", "too many"));
    record.attempts.push(attempt);
    let told = Explanation::of(&record, &[]);
    for text in told.steps.iter().map(|step| &step.text).chain([&told.summary]) {
        assert!(!text.contains("canary-a"), "{text}");
    }
    assert!(told.steps[1].text.contains("canary-b"), "{}", told.steps[1].text);
    assert!(told.summary.contains("canary-b"), "{}", told.summary);
    assert!(!told.next.as_deref().unwrap().contains("canary"), "{:?}", told.next);
    let story = MessageStory::of(&record, &[]);
    for debug in [format!("{told:?}"), format!("{story:?}"), format!("{:?}", told.steps)] {
        assert!(!debug.contains("canary"), "{debug}");
    }
}
