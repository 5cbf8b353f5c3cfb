//! The release before: the rows that it left, and those that it writes while replicas are replaced.

use std::time::Duration;

use tokio_postgres::Client;
use ums_core::{
    AttemptOutcome, Body, MessageRecord, RecipientSet, SettledBy, SkipReason, Status, Step, Store, StoreError, Timestamp, Work,
};
use ums_store::conformance::{OLD_ATTEMPTS, OldAttempt, Sample};
use uuid::Uuid;

use crate::ground::{Database, clock};

/// Writes attempts of a message in the form of the release before.
async fn write_old(client: &Client, sample: &Sample, attempts: &[OldAttempt]) {
    for (old, number) in attempts.iter().zip(1_i32..) {
        let id = Uuid::from_u128(u128::from(number.unsigned_abs()));
        client
            .execute(
                "INSERT INTO attempts (tenant, message_id, id, number, provider, account, called_at, outcome, class, code, detail, simulated,
                   from_substituted)
                 VALUES ($1, $2, $3, $4, 'aws_ses', 'default', 1, $5, $6, $7, $8, false, false)",
                &[
                    &sample.tenant().as_str(),
                    &sample.id().as_uuid(),
                    &id,
                    &number,
                    &old.outcome,
                    &old.class,
                    &old.code,
                    &old.detail,
                ],
            )
            .await
            .unwrap();
    }
}

fn is_read_typed(record: &MessageRecord) {
    let read: Vec<_> = record
        .attempts
        .iter()
        .map(|attempt| (attempt.outcome, attempt.settled_by))
        .collect();
    let expected = OLD_ATTEMPTS.map(|old| (old.ended, old.settled_by));
    assert_eq!(read, expected);
    assert!(
        record
            .attempts
            .iter()
            .all(|attempt| attempt.recipients == RecipientSet::NOT_RECORDED)
    );
}

#[tokio::test]
async fn the_attempts_of_the_release_before_get_their_facts() {
    let database = Database::new().await;
    let versions = ums_store::pending_migrations(&database.url).await.unwrap();
    let sample = Sample::email(1);
    let before = database.stranger().await;
    before
        .batch_execute("CREATE TABLE schema_migrations (version bigint PRIMARY KEY, name text NOT NULL, applied_at bigint NOT NULL)")
        .await
        .unwrap();
    before.batch_execute(versions[0].sql).await.unwrap();
    before
        .batch_execute("INSERT INTO schema_migrations VALUES (1, 'messages', 0)")
        .await
        .unwrap();
    let message = sample.message().unwrap();
    let content = serde_json::to_string(&message.content).unwrap();
    let handling = serde_json::to_string(&message.handling).unwrap();
    before
        .execute(
            "WITH new AS (INSERT INTO messages (tenant, id, channel, purpose, lane, status, accepted_at, expires_at, token)
               VALUES ($1, $2, 'email', 'transactional', 1, 'sent', 1, 2, 0) RETURNING tenant, id)
             INSERT INTO contents (tenant, message_id, accepted_at, has_body, content, handling, metadata)
             SELECT tenant, id, 1, true, $3, $4, '{}' FROM new",
            &[&sample.tenant().as_str(), &sample.id().as_uuid(), &content, &handling],
        )
        .await
        .unwrap();
    write_old(&before, &sample, &OLD_ATTEMPTS).await;

    let applied = ums_store::migrate(&database.url, clock()).await.unwrap();
    assert_eq!(applied, versions[1..]);
    let rows = before
        .query("SELECT not_called, settled_by FROM attempts ORDER BY number", &[])
        .await
        .unwrap();
    let columns: Vec<(Option<String>, Option<String>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = OLD_ATTEMPTS.map(|old| {
        let not_called = match old.ended {
            AttemptOutcome::NotCalled(why) => Some(why.to_string()),
            AttemptOutcome::Calling | AttemptOutcome::Accepted | AttemptOutcome::Failed | AttemptOutcome::Unknown => None,
        };
        (not_called, old.settled_by.map(|by| by.to_string()))
    });
    assert_eq!(columns, expected);
    let store = database.store().await;
    is_read_typed(&store.message(sample.tenant(), sample.id()).await.unwrap().unwrap());
}

#[tokio::test]
async fn what_the_release_before_writes_during_an_upgrade_is_read_typed() {
    let database = Database::new().await;
    let store = database.store().await;
    let sample = Sample::email(1);
    store.accept(sample.new_message(Status::Sent, None).unwrap()).await.unwrap();
    write_old(&database.stranger().await, &sample, &OLD_ATTEMPTS).await;
    is_read_typed(&store.message(sample.tenant(), sample.id()).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_column_that_the_row_has_outgrown_or_that_a_later_release_wrote_does_not_count() {
    let database = Database::new().await;
    let store = database.store().await;
    let sample = Sample::email(1);
    store.accept(sample.sending().unwrap()).await.unwrap();
    let stranger = database.stranger().await;
    let rows = [
        ("accepted", "lease_lost", "marked_failed", AttemptOutcome::Accepted, None),
        ("failed", "a_new_reason", "marked_delivered", AttemptOutcome::Failed, None),
        ("accepted", "closing", "by_a_new_way", AttemptOutcome::Accepted, None),
        (
            "accepted",
            "closing",
            "marked_sent",
            AttemptOutcome::Accepted,
            Some(SettledBy::MarkedSent),
        ),
    ];
    for (word, not_called, settled_by, outcome, settled) in rows {
        let update = "UPDATE attempts SET outcome = $1, not_called = $2, settled_by = $3";
        stranger.execute(update, &[&word, &not_called, &settled_by]).await.unwrap();
        let record = store.message(sample.tenant(), sample.id()).await.unwrap().unwrap();
        assert_eq!(
            (record.attempts[0].outcome, record.attempts[0].settled_by),
            (outcome, settled),
            "{word}"
        );
    }
    let skip = "INSERT INTO skips (tenant, message_id, number, provider, account, at, reason, detail)
                SELECT tenant, id, 1, 'smtp', 'default', 1, 'a_new_reason', '' FROM messages";
    stranger.execute(skip, &[]).await.unwrap();
    let record = store.message(sample.tenant(), sample.id()).await.unwrap().unwrap();
    assert_eq!(record.skips[0].reason, SkipReason::Other);
}

async fn kept(client: &Client) -> (String, bool, bool) {
    let sql = "SELECT status, owner IS NOT NULL, due_at IS NOT NULL FROM messages";
    let row = client.query_one(sql, &[]).await.unwrap();
    (row.get(0), row.get(1), row.get(2))
}

#[tokio::test]
async fn the_release_before_sees_that_a_partly_done_message_has_not_ended() {
    let database = Database::new().await;
    let (store, stranger) = (database.store().await, database.stranger().await);
    let sample = Sample::email(1);
    let mut new = sample.sending().unwrap();
    new.recipients[0].status = Status::Sent;
    (new.status, new.work) = (Status::Sent, Work::InHand);
    store.accept(new).await.unwrap();
    assert_eq!(kept(&stranger).await, ("sending".to_owned(), true, false));
    let step = |work| Step {
        work,
        ..sample.step(Status::Sent)
    };
    store.record(step(Work::Due(Timestamp::from_micros(1)))).await.unwrap();
    assert_eq!(kept(&stranger).await, ("queued".to_owned(), false, true));
    assert_eq!(
        store
            .claim_due(Timestamp::from_micros(1), ums_core::Room::of_each(1))
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(kept(&stranger).await, ("queued".to_owned(), true, false));
    let ends = Step {
        token: 1,
        ..step(Work::Ended)
    };
    store.record(ends).await.unwrap();
    assert_eq!(kept(&stranger).await, ("sent".to_owned(), false, false));
}

fn large(number: u32) -> Sample {
    Sample::email(number).large(20_000, 300)
}

/// The database as the release before left it: without envelopes.
async fn without_envelopes(stranger: &Client) {
    let undo = "DROP TABLE envelopes; DELETE FROM schema_migrations WHERE name = 'envelopes'";
    stranger.batch_execute(undo).await.unwrap();
}

#[tokio::test]
async fn the_large_contents_of_the_release_before_get_envelopes() {
    let database = Database::new().await;
    let (store, stranger) = (database.store().await, database.stranger().await);
    for sample in [large(1), large(2), large(3), Sample::email(4)] {
        store.accept(sample.sending().unwrap()).await.unwrap();
    }
    store.close(Duration::from_secs(10)).await;
    without_envelopes(&stranger).await;
    let change = "UPDATE contents SET content = replace(content, $1, $2) WHERE message_id = $3";
    for (sample, from, to) in [(large(2), "Receipt 2", r"Receipt\u0000"), (large(3), "{", "")] {
        let changed = stranger.execute(change, &[&from, &to, &sample.id().as_uuid()]).await;
        assert_eq!(changed.unwrap(), 1);
    }
    ums_store::migrate(&database.url, clock()).await.unwrap();
    let store = database.store().await;
    let read = async |sample: Sample| store.message(sample.tenant(), sample.id()).await;
    let first = read(large(1)).await.unwrap().unwrap();
    assert!(matches!(first.body(), Body::Apart { bytes: 20_000.. }));
    assert_eq!(first.message.content, large(1).message().unwrap().content.envelope());
    let whole = store.content(large(1).tenant(), large(1).id()).await.unwrap();
    assert_eq!(whole.as_ref(), Some(&large(1).message().unwrap().content));
    // Differs because jsonb cannot hold the character U+0000.
    assert!(matches!(read(large(2)).await.unwrap().unwrap().body(), Body::Here(_)));
    assert!(matches!(read(large(3)).await, Err(StoreError::Corrupt { .. })));
    let small = Sample::email(4).message().unwrap();
    assert_eq!(read(Sample::email(4)).await.unwrap().unwrap().body(), Body::Here(&small.content));
}

#[tokio::test]
async fn a_large_content_that_the_release_before_wrote_or_emptied_is_read_as_it_is() {
    let database = Database::new().await;
    let (store, stranger) = (database.store().await, database.stranger().await);
    let accepted = large(1).message().unwrap();
    let read = async || store.message(large(1).tenant(), large(1).id()).await.unwrap().unwrap();
    store.accept(large(1).sending().unwrap()).await.unwrap();
    let emptied = serde_json::to_string(&accepted.content.without_body()).unwrap();
    let update = "UPDATE contents SET content = $1, has_body = $2";
    stranger.execute(update, &[&emptied, &false]).await.unwrap();
    let record = read().await;
    assert_eq!(record.body(), Body::Forgotten);
    assert_eq!(record.message.content, accepted.content.without_body(), "the subject is gone, too");

    let written = serde_json::to_string(&accepted.content).unwrap();
    stranger.execute(update, &[&written, &true]).await.unwrap();
    stranger.execute("DELETE FROM envelopes", &[]).await.unwrap();
    assert_eq!(read().await.body(), Body::Here(&accepted.content));
}

#[tokio::test]
async fn a_body_that_is_emptied_leaves_no_envelope() {
    let database = Database::new().await;
    let (store, stranger) = (database.store().await, database.stranger().await);
    store.accept(large(1).sending().unwrap()).await.unwrap();
    let envelopes = async || {
        let counted = stranger.query_one("SELECT count(*) FROM envelopes", &[]).await.unwrap();
        counted.get::<_, i64>(0)
    };
    assert_eq!(envelopes().await, 1);
    let forgetting = Step {
        forget_body: true,
        ..large(1).step(Status::Sent)
    };
    store.record(forgetting).await.unwrap();
    assert_eq!(envelopes().await, 0, "the subject stands there");
}
