//! What only the store in memory does: it forgets.

use ums_core::{IdempotencyKey, NewMessage, Status, Step, Store, Stored, Timestamp, Work};
use ums_store::MemoryStore;
use ums_store::conformance::Sample;

use crate::ground::clock;

fn keyed(sample: &Sample) -> NewMessage {
    let key = IdempotencyKey {
        key: "order".to_owned(),
        fingerprint: [1; 32],
        expires_at: Timestamp::from_micros(i64::MAX),
    };
    NewMessage {
        idempotency: Some(key),
        ..sample.sending().unwrap()
    }
}

#[tokio::test]
async fn the_oldest_ended_messages_are_forgotten_and_unfinished_ones_kept() {
    let store = MemoryStore::new(clock()).keep_ended(3);
    let unfinished = Sample::sms(1);
    store.accept(unfinished.sending().unwrap()).await.unwrap();
    for number in 2..=9 {
        let sample = Sample::sms(number);
        store.accept(sample.sending().unwrap()).await.unwrap();
        store.record(sample.step(Status::Sent)).await.unwrap();
    }
    let page = store
        .messages(unfinished.tenant(), &ums_core::MessageFilter::default(), None, 100)
        .await
        .unwrap();
    let kept: Vec<_> = page.messages.iter().map(|record| record.message.id).collect();
    assert_eq!(kept, [9, 8, 7, 1].map(|number| Sample::sms(number).id()));
}

#[tokio::test]
async fn a_forgotten_message_frees_its_key() {
    let store = MemoryStore::new(clock()).keep_ended(1);
    let first = Sample::sms(1);
    assert_eq!(store.accept(keyed(&first)).await.unwrap(), Stored::New);
    store.record(first.step(Status::Sent)).await.unwrap();
    assert_eq!(store.accept(keyed(&Sample::sms(2))).await.unwrap(), Stored::Replayed(first.id()));
    store
        .accept(Sample::sms(3).new_message(Status::Failed, None).unwrap())
        .await
        .unwrap();
    assert_eq!(store.accept(keyed(&Sample::sms(4))).await.unwrap(), Stored::New);
}

#[tokio::test]
async fn a_message_sent_again_is_not_forgotten_while_it_is_under_way() {
    let store = MemoryStore::new(clock()).keep_ended(1);
    let again = Sample::sms(1);
    store.accept(again.new_message(Status::Failed, None).unwrap()).await.unwrap();
    store
        .record(Step {
            work: Work::Due(Timestamp::from_micros(1)),
            ..again.step(Status::Queued)
        })
        .await
        .unwrap();
    for number in 2..=5 {
        store
            .accept(Sample::sms(number).new_message(Status::Failed, None).unwrap())
            .await
            .unwrap();
    }
    assert_eq!(
        store
            .claim_due(Timestamp::from_micros(1), ums_core::Room::of_each(9))
            .await
            .unwrap()
            .len(),
        1
    );
}
