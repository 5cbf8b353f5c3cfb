//! Batches: many messages in one transaction.

use std::time::Duration;

use ums_core::{IdempotencyKey, ProviderKind, SendEmail, SendSms, Status, Timestamp};
use ums_delivery::{Submission, SubmitError};
use ums_testkit::{Moment, Operation};

use crate::setup::{Broken, Failing, Setup, email, start};

fn with_key(request: SendEmail, key: &str, fingerprint: u8) -> Submission {
    Submission {
        idempotency: Some(IdempotencyKey {
            key: key.to_owned(),
            fingerprint: [fingerprint; 32],
            expires_at: Timestamp::parse_rfc3339("2026-12-01T00:00:00Z").unwrap(),
        }),
        ..request.parse().unwrap().into()
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_stored_without_intents_and_sent_by_the_queue() {
    let bench = start().await;
    let mut later = email();
    later.handling.send_at = Timestamp::parse_rfc3339("2026-11-22T11:00:00Z");
    let batch = vec![email().parse().unwrap().into(), later.parse().unwrap().into()];
    let accepted = bench.engine.submit_all(batch).await.unwrap();
    assert_eq!(bench.ses.calls(), 0, "nothing is sent by the call");
    assert!(accepted.iter().all(|item| !item.replayed));
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(bench.look_up(accepted[0].message_id).await.status, Status::Sent);
    assert_eq!(bench.look_up(accepted[1].message_id).await.status, Status::Scheduled);
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_one_item_names_it_and_nothing_is_stored() {
    let bench = start().await;
    let sms = SendSms::new("+15551234567", "Thank you").via(ProviderKind::Console);
    let batch = vec![
        email().parse().unwrap().into(),
        email().via(ProviderKind::AwsSes).parse().unwrap().into(),
        sms.parse(Some("US".parse().unwrap())).unwrap().into(),
    ];
    let Err(SubmitError::Invalid(invalid)) = bench.engine.submit_all(batch).await else {
        panic!("the third names a provider that is not configured");
    };
    assert_eq!(invalid.faults[0].field, "messages[2].via");
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(bench.ses.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_same_batch_again_is_replayed_and_a_mixture_is_a_conflict() {
    let bench = start().await;
    let batch = || vec![with_key(email(), "a", 1), with_key(email(), "b", 1)];
    let first = bench.engine.submit_all(batch()).await.unwrap();
    let second = bench.engine.submit_all(batch()).await.unwrap();
    assert!(second.iter().all(|item| item.replayed));
    assert!(
        first
            .iter()
            .zip(&second)
            .all(|(first, second)| first.message_id == second.message_id)
    );

    let mixture = vec![with_key(email(), "a", 1), with_key(email(), "c", 1)];
    assert!(matches!(bench.engine.submit_all(mixture).await, Err(SubmitError::KeyConflict)));
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(bench.ses.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_store_is_away_is_not_accepted() {
    let hand = Failing::default();
    let bench = Setup::durable(&hand).start().await;
    hand.fail(Moment::Before(Operation::Accept), 1, Broken::Unavailable);
    let told = bench.engine.submit_all(vec![email().parse().unwrap().into()]).await;
    assert!(matches!(told, Err(SubmitError::Store(_))));
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(bench.ses.calls(), 0);
}
