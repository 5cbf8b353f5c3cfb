//! The release before: the rows that it left, and those that it writes while replicas are replaced.

use std::time::Duration;

use ums_core::{
    AttemptOutcome, Body, MessageRecord, RecipientSet, SettledBy, SkipReason, Status, Step, Store, StoreError, Timestamp, Work,
};
use ums_store::conformance::{OLD_ATTEMPTS, OldAttempt, Sample};

use crate::ground::{SqliteFile, clock};

/// Writes attempts of a message in the form of the release before.
fn write_old(connection: &rusqlite::Connection, sample: &Sample, attempts: &[OldAttempt]) {
    for (old, number) in attempts.iter().zip(1_u8..) {
        connection
            .execute(
                "INSERT INTO attempts (tenant, message_id, id, number, provider, account, called_at, outcome, class, code, detail, simulated,
                   from_substituted)
                 VALUES (?1, ?2, ?3, ?4, 'aws_ses', 'default', 1, ?5, ?6, ?7, ?8, 0, 0)",
                rusqlite::params![
                    sample.tenant().as_str(),
                    sample.id().as_uuid().into_bytes(),
                    [number; 16],
                    number,
                    old.outcome,
                    old.class,
                    old.code,
                    old.detail
                ],
            )
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
    let ground = SqliteFile::new();
    let versions = ums_store::pending_migrations(&ground.url()).await.unwrap();
    let sample = Sample::email(1);
    {
        let before = ground.stranger();
        before
            .execute_batch(
                "CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
            )
            .unwrap();
        before.execute_batch(versions[0].sql).unwrap();
        before
            .execute("INSERT INTO schema_migrations VALUES (1, 'messages', 0)", [])
            .unwrap();
        let message = sample.message().unwrap();
        let json = |value: serde_json::Result<String>| value.unwrap();
        let key = (sample.tenant().as_str(), sample.id().as_uuid().into_bytes());
        before
            .execute(
                "INSERT INTO messages (tenant, id, channel, purpose, lane, status, accepted_at, expires_at, token)
                 VALUES (?1, ?2, 'email', 'transactional', 1, 'sent', 1, 2, 0)",
                key,
            )
            .unwrap();
        before
            .execute(
                "INSERT INTO contents (tenant, message_id, content, handling, metadata) VALUES (?1, ?2, ?3, ?4, '{}')",
                (
                    key.0,
                    key.1,
                    json(serde_json::to_string(&message.content)),
                    json(serde_json::to_string(&message.handling)),
                ),
            )
            .unwrap();
        write_old(&before, &sample, &OLD_ATTEMPTS);
    }
    let applied = ums_store::migrate(&ground.url(), clock()).await.unwrap();
    assert_eq!(applied, versions[1..]);
    let connection = ground.stranger();
    let mut statement = connection
        .prepare("SELECT not_called, settled_by FROM attempts ORDER BY number")
        .unwrap();
    let columns: Vec<(Option<String>, Option<String>)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let expected = OLD_ATTEMPTS.map(|old| {
        let not_called = match old.ended {
            AttemptOutcome::NotCalled(why) => Some(why.to_string()),
            AttemptOutcome::Calling | AttemptOutcome::Accepted | AttemptOutcome::Failed | AttemptOutcome::Unknown => None,
        };
        (not_called, old.settled_by.map(|by| by.to_string()))
    });
    assert_eq!(columns, expected);
    let store = ground.store().await;
    is_read_typed(&store.message(sample.tenant(), sample.id()).await.unwrap().unwrap());
}

#[tokio::test]
async fn what_the_release_before_writes_during_an_upgrade_is_read_typed() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    let sample = Sample::email(1);
    store.accept(sample.new_message(Status::Sent, None).unwrap()).await.unwrap();
    write_old(&ground.stranger(), &sample, &OLD_ATTEMPTS);
    is_read_typed(&store.message(sample.tenant(), sample.id()).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_column_that_the_row_has_outgrown_or_that_a_later_release_wrote_does_not_count() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    let sample = Sample::email(1);
    store.accept(sample.sending().unwrap()).await.unwrap();
    let stranger = ground.stranger();
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
        stranger
            .execute(
                "UPDATE attempts SET outcome = ?1, not_called = ?2, settled_by = ?3",
                (word, not_called, settled_by),
            )
            .unwrap();
        let record = store.message(sample.tenant(), sample.id()).await.unwrap().unwrap();
        assert_eq!(
            (record.attempts[0].outcome, record.attempts[0].settled_by),
            (outcome, settled),
            "{word}"
        );
    }
    let skip = "INSERT INTO skips (tenant, message_id, number, provider, account, at, reason, detail)
                SELECT tenant, id, 1, 'smtp', 'default', 1, 'a_new_reason', '' FROM messages";
    stranger.execute(skip, []).unwrap();
    let record = store.message(sample.tenant(), sample.id()).await.unwrap().unwrap();
    assert_eq!(record.skips[0].reason, SkipReason::Other);
}

#[tokio::test]
async fn the_release_before_sees_that_a_partly_done_message_has_not_ended() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    let sample = Sample::email(1);
    let mut new = sample.sending().unwrap();
    new.recipients[0].status = Status::Sent;
    (new.status, new.work) = (Status::Sent, Work::InHand);
    store.accept(new).await.unwrap();
    let kept = || -> (String, bool, bool) {
        let sql = "SELECT status, owner IS NOT NULL, due_at IS NOT NULL FROM messages";
        let row = ground
            .stranger()
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        row.unwrap()
    };
    assert_eq!(kept(), ("sending".to_owned(), true, false));
    let step = |work| Step {
        work,
        ..sample.step(Status::Sent)
    };
    store.record(step(Work::Due(Timestamp::from_micros(1)))).await.unwrap();
    assert_eq!(kept(), ("queued".to_owned(), false, true));
    assert_eq!(
        store
            .claim_due(Timestamp::from_micros(1), ums_core::Room::of_each(1))
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(kept(), ("queued".to_owned(), true, false));
    let ends = Step {
        token: 1,
        ..step(Work::Ended)
    };
    store.record(ends).await.unwrap();
    assert_eq!(kept(), ("sent".to_owned(), false, false));
}

fn large(number: u32) -> Sample {
    Sample::email(number).large(20_000, 300)
}

/// The file as the release before left it: without envelopes.
fn without_envelopes(ground: &SqliteFile) {
    let undo = "DROP TABLE envelopes; DELETE FROM schema_migrations WHERE name = 'envelopes'";
    ground.stranger().execute_batch(undo).unwrap();
}

#[tokio::test]
async fn the_large_contents_of_the_release_before_get_envelopes() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    for sample in [large(1), large(2), large(3), Sample::email(4)] {
        store.accept(sample.sending().unwrap()).await.unwrap();
    }
    store.close(Duration::from_secs(10)).await;
    without_envelopes(&ground);
    let stranger = ground.stranger();
    let change = "UPDATE contents SET content = replace(content, ?1, ?2) WHERE message_id = ?3";
    for (sample, from, to) in [(large(2), "Receipt 2", r"Receipt\u0000"), (large(3), "{", "")] {
        let changed = stranger.execute(change, (from, to, sample.id().as_uuid().into_bytes()));
        assert_eq!(changed, Ok(1));
    }
    ums_store::migrate(&ground.url(), clock()).await.unwrap();
    let store = ground.store().await;
    let read = async |sample: Sample| store.message(sample.tenant(), sample.id()).await;
    let first = read(large(1)).await.unwrap().unwrap();
    assert!(matches!(first.body(), Body::Apart { bytes: 20_000.. }));
    assert_eq!(first.message.content, large(1).message().unwrap().content.envelope());
    let whole = store.content(large(1).tenant(), large(1).id()).await.unwrap();
    assert_eq!(whole.as_ref(), Some(&large(1).message().unwrap().content));
    assert!(matches!(read(large(2)).await.unwrap().unwrap().body(), Body::Apart { .. }));
    assert!(matches!(read(large(3)).await, Err(StoreError::Corrupt { .. })));
    let small = Sample::email(4).message().unwrap();
    assert_eq!(read(Sample::email(4)).await.unwrap().unwrap().body(), Body::Here(&small.content));
}

#[tokio::test]
async fn a_large_content_that_the_release_before_wrote_or_emptied_is_read_as_it_is() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    let accepted = large(1).message().unwrap();
    let read = async || store.message(large(1).tenant(), large(1).id()).await.unwrap().unwrap();
    store.accept(large(1).sending().unwrap()).await.unwrap();
    let emptied = serde_json::to_string(&accepted.content.without_body()).unwrap();
    let stranger = ground.stranger();
    stranger.execute("UPDATE contents SET content = ?1", [emptied]).unwrap();
    let record = read().await;
    assert_eq!(record.body(), Body::Forgotten);
    assert_eq!(record.message.content, accepted.content.without_body(), "the subject is gone, too");

    let written = serde_json::to_string(&accepted.content).unwrap();
    stranger.execute("UPDATE contents SET content = ?1", [written]).unwrap();
    stranger.execute("DELETE FROM envelopes", []).unwrap();
    assert_eq!(read().await.body(), Body::Here(&accepted.content));
}

#[tokio::test]
async fn a_body_that_is_emptied_leaves_no_envelope() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    store.accept(large(1).sending().unwrap()).await.unwrap();
    let envelopes = || {
        ground
            .stranger()
            .query_row("SELECT count(*) FROM envelopes", [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(envelopes(), 1);
    let forgetting = Step {
        forget_body: true,
        ..large(1).step(Status::Sent)
    };
    store.record(forgetting).await.unwrap();
    assert_eq!(envelopes(), 0, "the subject stands there");
}
