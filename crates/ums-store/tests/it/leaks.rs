//! No error and no `Debug` shows an address, a body or a key.

use ums_core::{
    Channel, Event, EventKind, EventRecord, FeedbackStep, FeedbackStore as _, IdempotencyKey, NewMessage, Parked, ProviderKind, Store,
    Suppression, SuppressionOrigin, SuppressionReason, SuppressionStore as _, TenantId, Timestamp,
};
use ums_store::conformance::Sample;

use crate::ground::SqliteFile;

#[tokio::test]
async fn errors_and_debug_show_no_content() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    let key = IdempotencyKey {
        key: "canary-key".to_owned(),
        fingerprint: [7; 32],
        expires_at: Timestamp::from_micros(i64::MAX),
    };
    let new = NewMessage {
        idempotency: Some(key),
        ..Sample::email(1).sending().unwrap()
    };
    let mut shown = format!("{store:?} {new:?} {:?}", store.accept(new.clone()).await);

    let stranger = ground.stranger();
    for spoil in [
        "UPDATE contents SET content = replace(content, 'html', 'htm')",
        "PRAGMA ignore_check_constraints = ON",
        "UPDATE recipients SET status = address",
        "UPDATE messages SET status = 'customer1@example.com'",
        "UPDATE idempotency SET message_id = x'00'",
        "DROP TABLE skips",
    ] {
        stranger.execute_batch(spoil).unwrap();
        for error in [
            store.message(&new.message.tenant, new.message.id).await.err(),
            store.accept(new.clone()).await.err(),
            store.record(Sample::email(1).step(ums_core::Status::Sent)).await.err(),
        ] {
            let source = error
                .as_ref()
                .and_then(std::error::Error::source)
                .map(|source| format!("{source} {source:?}"));
            let words = error.as_ref().map(ToString::to_string);
            shown = format!("{shown} {error:?} {words:?} {source:?}");
        }
    }
    shown += &aftermath().await;
    for canary in ["customer1", "example.com", "Thank you", "Receipt", "canary-key"] {
        assert!(!shown.contains(canary), "{canary} in {shown}");
    }
    assert!(shown.contains("cannot be read"));
}

/// The same of what came after a message.
async fn aftermath() -> String {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    let address = "customer1@example.com".to_owned();
    let mut event = Event::new(ProviderKind::AwsSes, "one", EventKind::Bounced, "Bounce");
    event.recipient = Some(address.clone());
    event.about.message_id = Some(Sample::email(1).id());
    let record = EventRecord {
        event: event.clone(),
        received_at: Timestamp::from_micros(1),
        attempt_id: None,
    };
    let entry = Suppression {
        tenant: TenantId::default(),
        channel: Channel::Email,
        address: address.clone(),
        reason: SuppressionReason::HardBounce,
        list: None,
        origin: SuppressionOrigin::Feedback,
        provider: None,
        account: None,
        message_id: None,
        detail: None,
        since: Timestamp::from_micros(1),
        expires_at: None,
        lifted_at: None,
    };
    let parked = Parked {
        record,
        due_at: Some(Timestamp::from_micros(1)),
        looks: 0,
        suppress: vec![entry.clone()],
        lift: Vec::new(),
        notices: Vec::new(),
    };
    let step = FeedbackStep::Park(Box::new(parked));
    let mut shown = format!("{step:?} {:?}", store.take_feedback(vec![step.clone()]).await);
    shown = format!("{shown} {:?}", store.accept(Sample::email(1).sending().unwrap()).await);
    for spoil in [
        "UPDATE events SET event = replace(event, 'provider', 'customer1@example.com')",
        "UPDATE suppressions SET reason = address",
        "UPDATE suppressions SET origin = address",
        "DROP TABLE events",
        "DROP TABLE suppressions",
    ] {
        let stranger = ground.stranger();
        stranger
            .execute_batch(&format!("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; {spoil}"))
            .unwrap();
        for error in [
            store.parked_events(Timestamp::from_micros(9), 9).await.err(),
            store.take_feedback(vec![step.clone()]).await.err(),
            store.feedback_targets(std::slice::from_ref(&event)).await.err(),
            store.accept(Sample::email(1).sending().unwrap()).await.err(),
            store.suppress(vec![entry.clone()], Vec::new()).await.err(),
        ] {
            let source = error
                .as_ref()
                .and_then(std::error::Error::source)
                .map(|source| format!("{source} {source:?}"));
            let words = error.as_ref().map(ToString::to_string);
            shown = format!("{shown} {error:?} {words:?} {source:?}");
        }
    }
    shown
}
