//! Values that the database refuses: a step is written with its texts replaced, a message is refused, and nobody else suffers.

use std::sync::Arc;

use ums_core::{
    AccountId, AttemptOutcome, AttemptRecord, Event, EventKind, EventRecord, FeedbackStep, FeedbackStore, FeedbackTaken, Parked,
    ProviderKind, Skip, SkipReason, Status, Step, Store, StoreError, Stored,
};
use ums_store::PostgresOptions;
use ums_store::conformance::Sample;

use crate::ground::{Database, clock};

/// A trigger that refuses with a code, as the server itself does where a limit of its own is reached.
fn refusing(table: &str, condition: &str, code: &str) -> String {
    format!(
        "DROP FUNCTION IF EXISTS refuse_{table} CASCADE;
         CREATE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse_{table}()"
    )
}

/// A text that an index cannot make short enough for a page.
fn hard_to_compress(characters: usize) -> String {
    let numbers = std::iter::successors(Some(7_u32), |n| Some(n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)));
    let letters = numbers.map(|n| char::from_u32(0x4e00 + (n >> 19)).unwrap_or('é'));
    letters.take(characters).collect()
}

fn sent(number: u32, detail: &str) -> Step {
    let sample = Sample::sms(number);
    let attempt = AttemptRecord {
        outcome: AttemptOutcome::Accepted,
        detail: Some(detail.to_owned()),
        provider_message_id: Some(format!("id-{number}")),
        ..sample.intent(1)
    };
    Step {
        attempts: vec![attempt],
        ..sample.step(Status::Sent)
    }
}

#[tokio::test]
async fn a_step_that_is_refused_for_its_data_is_written_with_its_texts_replaced() {
    let long = hard_to_compress(8_000);
    let rows = [
        // 22001: the text is too long for its column.
        (
            "ALTER TABLE attempts ALTER COLUMN detail TYPE varchar(16)".to_owned(),
            "250 taken, a long text",
            "(replaced)",
            false,
        ),
        // 22021 and 22P05: the text holds a character that the database lacks.
        (
            format!(
                "ALTER TABLE attempts ALTER COLUMN detail TYPE text; {}",
                refusing("attempts", "NEW.detail ~ '[^ -~]'", "22021")
            ),
            "250 grüße",
            "250 gr??e",
            true,
        ),
        (refusing("attempts", "NEW.detail ~ '[^ -~]'", "22P05"), "grüße\n", "gr??e?", true),
        // 54000: a row is too long for an index.
        (
            "DROP FUNCTION refuse_attempts CASCADE; CREATE INDEX too_long ON attempts (detail)".to_owned(),
            &long,
            "?",
            true,
        ),
        // 23514: a check of an operator.
        (
            "ALTER TABLE attempts ADD CHECK (detail IS NULL OR detail NOT LIKE '%word%')".to_owned(),
            "a word",
            "(replaced)",
            false,
        ),
        (
            refusing("attempts", "NEW.provider_message_id IS NOT NULL", "P0001"),
            "taken",
            "(replaced)",
            false,
        ),
    ];
    let database = Database::new().await;
    let (store, stranger) = (database.store().await, database.stranger().await);
    for (number, (change, detail, kept, has_id)) in (1..).zip(rows) {
        let sample = Sample::sms(number);
        store.accept(sample.sending().unwrap()).await.unwrap();
        stranger.batch_execute(&change).await.unwrap();
        store.record(sent(number, detail)).await.unwrap();
        // Who repeats the step, since the answer was lost, is told that it is written.
        store.record(sent(number, detail)).await.unwrap();
        // A statement that was prepared before a column changed its type fails once on each connection.
        let mut found = Err(StoreError::NotFound);
        for _ in 0..=PostgresOptions::default().readers {
            found = store.message(sample.tenant(), sample.id()).await;
            if found.is_ok() {
                break;
            }
        }
        let record = found.unwrap().unwrap();
        let attempt = record.attempts.first().unwrap();
        assert_eq!(
            (record.status, attempt.outcome),
            (Status::Sent, AttemptOutcome::Accepted),
            "{change}"
        );
        assert!(
            attempt.detail.as_deref().unwrap_or_default().contains(kept),
            "{change}: {attempt:?}"
        );
        assert_eq!(attempt.provider_message_id.is_some(), has_id, "{change}");
    }
}

#[tokio::test]
async fn one_refused_step_of_a_group_harms_no_other() {
    let database = Database::new().await;
    let store = database.store().await;
    for number in 1..=60 {
        store.accept(Sample::sms(number).sending().unwrap()).await.unwrap();
    }
    let refuse = refusing("attempts", "NEW.detail ~ '[^ -~]'", "22021");
    database.stranger().await.batch_execute(&refuse).await.unwrap();
    let detail = |number: u32| if number % 20 == 7 { "gr\u{fc}\u{df}e" } else { "fine" };
    let tasks: Vec<_> = (1..=60)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.record(sent(number, detail(number))).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    for number in 1..=60 {
        let sample = Sample::sms(number);
        let record = store.message(sample.tenant(), sample.id()).await.unwrap().unwrap();
        let expected = detail(number).replace(|c: char| !c.is_ascii(), "?");
        assert_eq!(record.status, Status::Sent);
        assert_eq!(record.attempts.first().unwrap().detail.as_deref(), Some(&*expected), "{number}");
    }
}

#[tokio::test]
async fn a_message_that_is_refused_for_its_data_is_told_so_and_its_group_is_stored() {
    let database = Database::new().await;
    let store = database.store().await;
    let check = "ALTER TABLE recipients ADD CONSTRAINT not_this_one CHECK (address NOT LIKE 'customer13@%')";
    database.stranger().await.batch_execute(check).await.unwrap();
    let tasks: Vec<_> = (1..=30)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { (number, store.accept(Sample::email(number).sending().unwrap()).await) })
        })
        .collect();
    for task in tasks {
        match task.await.unwrap() {
            (13, Err(StoreError::RefusedData(place))) => {
                assert!(
                    place.contains("23514") && place.contains("not_this_one") && !place.contains("customer"),
                    "{place}"
                );
            }
            (_, answer) => assert_eq!(answer.unwrap(), Stored::New),
        }
    }
    assert_eq!(store.count().await.unwrap(), 29);
}

#[tokio::test]
async fn a_step_that_is_refused_whatever_it_says_is_kept_for_later() {
    let database = Database::new().await;
    let store = database.store().await;
    store.accept(Sample::sms(1).sending().unwrap()).await.unwrap();
    let stranger = database.stranger().await;
    let check = "ALTER TABLE attempts ADD CONSTRAINT none CHECK (outcome <> 'accepted')";
    stranger.batch_execute(check).await.unwrap();
    let answer = store.record(sent(1, "taken")).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    stranger.batch_execute("ALTER TABLE attempts DROP CONSTRAINT none").await.unwrap();
    store.record(sent(1, "taken")).await.unwrap();
}

#[tokio::test]
async fn one_refused_report_of_a_batch_is_kept_without_its_texts() {
    let database = Database::new().await;
    let store = database.store().await;
    let refuse = refusing("events", "NEW.event LIKE '%grüße%'", "22021");
    database.stranger().await.batch_execute(&refuse).await.unwrap();
    let steps = |words: [&str; 3]| -> Vec<FeedbackStep> {
        let reports = words.iter().enumerate().map(|(number, word)| {
            let event = Event::new(ProviderKind::Twilio, format!("event {number}"), EventKind::Inbound, *word);
            FeedbackStep::Park(Box::new(Parked {
                record: EventRecord {
                    event,
                    received_at: clock().now(),
                    attempt_id: None,
                },
                due_at: Some(clock().now()),
                looks: 0,
                suppress: Vec::new(),
                lift: Vec::new(),
                notices: Vec::new(),
            }))
        });
        reports.collect()
    };
    let taken = store.take_feedback(steps(["one", "grüße", "three"])).await.unwrap();
    assert_eq!(taken, [FeedbackTaken::Kept; 3]);
    let parked = store.parked_events(clock().now(), 10).await.unwrap();
    let words: Vec<&str> = parked.iter().map(|parked| &*parked.record.event.word).collect();
    assert_eq!(words, ["one", "gr??e", "three"]);
}

#[tokio::test]
async fn a_new_message_is_stored_although_a_text_of_ours_beside_it_is_refused() {
    let database = Database::new().await;
    let store = database.store().await;
    let check = "ALTER TABLE skips ADD CHECK (length(detail) < 12)";
    database.stranger().await.batch_execute(check).await.unwrap();
    let sample = Sample::sms(1);
    let mut new = sample.sending().unwrap();
    new.skips = vec![Skip {
        provider: ProviderKind::Twilio,
        account: AccountId::default(),
        at: clock().now(),
        reason: SkipReason::Open,
        detail: "reopens in 30 s".to_owned(),
    }];
    assert_eq!(store.accept(new).await.unwrap(), Stored::New);
    let record = store.message(sample.tenant(), sample.id()).await.unwrap().unwrap();
    assert_eq!(record.skips.first().unwrap().detail, "(replaced)");
    assert_eq!(record.message.content, sample.message().unwrap().content);
}
