//! No error and no `Debug` shows an address, a body or a key.

use ums_core::{IdempotencyKey, NewMessage, Store, Timestamp};
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
    for canary in ["customer1", "example.com", "Thank you", "Receipt", "canary-key"] {
        assert!(!shown.contains(canary), "{canary} in {shown}");
    }
    assert!(shown.contains("cannot be read"));
}
