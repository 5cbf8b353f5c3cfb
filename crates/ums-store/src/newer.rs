//! Classes of failures that the release before does not know.
//!
//! Replicas of that release work on the same rows during an upgrade, and would not read a row with a word that is strange to them. So where
//! they look stands the nearest class that they know, and the class itself stands beside it. A class beside any other word does not count:
//! the release before changed the row since. This module may go one release after this one.

use serde::{Deserialize, Serialize};
use ums_core::{EventRecord, FailureClass, RefusedRecipient, StoreError};

use crate::json::to_json;

/// The class that the release before reads: of a provider that keeps one recipient from getting a message, and lets the next try.
pub(crate) const fn nearest(class: FailureClass) -> FailureClass {
    match class {
        FailureClass::ProviderUnsubscribed => FailureClass::Unsupported,
        FailureClass::LocalShortage => FailureClass::Unavailable,
        known @ (FailureClass::InvalidMessage
        | FailureClass::InvalidRecipient
        | FailureClass::RecipientBlocked
        | FailureClass::Unsupported
        | FailureClass::Misconfigured
        | FailureClass::QuotaExhausted
        | FailureClass::Throttled
        | FailureClass::Unavailable
        | FailureClass::Unknown) => known,
    }
}

/// The class to be kept beside the nearest one; none where that is the class itself.
pub(crate) fn beside(class: Option<FailureClass>) -> Option<FailureClass> {
    class.filter(|class| nearest(*class) != *class)
}

/// The class of a row: the kept one, or the one beside it if that belongs to it.
pub(crate) fn class(kept: Option<FailureClass>, beside: Option<FailureClass>) -> Option<FailureClass> {
    beside.filter(|beside| kept == Some(nearest(*beside))).or(kept)
}

/// JSON with the class beside it.
#[derive(Serialize)]
struct Written<T> {
    #[serde(flatten)]
    value: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    newer_class: Option<FailureClass>,
}

/// The class beside a value in JSON.
#[derive(Deserialize)]
struct Beside {
    #[serde(default)]
    newer_class: Option<FailureClass>,
}

/// An event as JSON.
pub(crate) fn event_json(record: &EventRecord) -> Result<String, StoreError> {
    let newer_class = beside(record.event.class);
    if newer_class.is_none() {
        return to_json(record);
    }
    let mut value = record.clone();
    value.event.class = value.event.class.map(nearest);
    to_json(&Written { value, newer_class })
}

/// Reads an event.
pub(crate) fn event(json: &str) -> serde_json::Result<EventRecord> {
    let mut record: EventRecord = serde_json::from_str(json)?;
    if record.event.class.is_some() {
        let Beside { newer_class } = serde_json::from_str(json)?;
        record.event.class = class(record.event.class, newer_class);
    }
    Ok(record)
}

/// Recipients whom a provider refused by name, as JSON.
pub(crate) fn refused_json(refused: &[RefusedRecipient]) -> Result<String, StoreError> {
    let written = refused.iter().cloned().map(|mut value| {
        let newer_class = beside(Some(value.failure.class));
        value.failure.class = nearest(value.failure.class);
        Written { value, newer_class }
    });
    to_json(&written.collect::<Vec<_>>())
}

/// Reads recipients whom a provider refused by name.
pub(crate) fn refused(json: &str) -> serde_json::Result<Vec<RefusedRecipient>> {
    let mut refused: Vec<RefusedRecipient> = serde_json::from_str(json)?;
    let beside: Vec<Beside> = serde_json::from_str(json)?;
    for (refused, Beside { newer_class }) in refused.iter_mut().zip(beside) {
        if let Some(class) = class(Some(refused.failure.class), newer_class) {
            refused.failure.class = class;
        }
    }
    Ok(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ums_core::{Event, EventKind, Failure, ProviderKind, Timestamp};

    fn event_of(class: FailureClass) -> EventRecord {
        let mut told = Event::new(ProviderKind::SendGrid, "1", EventKind::Rejected, "dropped");
        told.class = Some(class);
        EventRecord {
            event: told,
            received_at: Timestamp::from_micros(1),
            attempt_id: None,
        }
    }

    #[test]
    fn every_class_comes_back_from_json_that_the_release_before_reads_too() {
        for class in FailureClass::ALL {
            let json = event_json(&event_of(*class)).unwrap();
            assert_eq!(event(&json).unwrap().event.class, Some(*class), "{json}");
            let as_before: EventRecord = serde_json::from_str(&json).unwrap();
            assert_eq!(as_before.event.class, Some(nearest(*class)), "{json}");

            let listed = [RefusedRecipient {
                place: 1,
                failure: Failure::provider(*class, "c", ""),
            }];
            let json = refused_json(&listed).unwrap();
            assert_eq!(refused(&json).unwrap(), listed);
            let as_before: Vec<RefusedRecipient> = serde_json::from_str(&json).unwrap();
            assert_eq!(as_before[0].failure.class, nearest(*class), "{json}");
        }
    }

    #[test]
    fn a_class_that_the_release_before_wrote_over_does_not_count() {
        let newer = Some(FailureClass::ProviderUnsubscribed);
        assert_eq!(class(Some(FailureClass::Unsupported), newer), newer);
        assert_eq!(class(Some(FailureClass::Unknown), newer), Some(FailureClass::Unknown));
        assert_eq!(class(None, newer), None);
    }
}
