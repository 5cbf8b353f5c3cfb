//! One group of requests as one transaction of a few statements.
//!
//! It is written in the belief that every request is good: the statements go out together, and what they say they
//! have written is counted. When something is missing (a key that is taken, a message that was stored before, a
//! fence, an illegal move), the transaction is rolled back, the requests are looked at one by one, those that come to
//! nothing are answered, and the others are written again. So a request that fails takes no other with it, and the common
//! case costs two round trips.
//!
//! Only here: SQLite writes row by row in its own process, where a statement costs no round trip.

use ums_core::{IdempotencyKey, MessageId, StoreError, Stored, TenantId, Timestamp, failpoint};

use super::connection::{Fault, Session};
use super::idempotency::Taken;
use super::messages::Standings;
use super::writer::{Answer, Request, Work};
use super::{acts, attempts, contents, idempotency, messages, owners, recipients, skips};
use crate::batch::{self, Twins};
use crate::encoded::Encoded;
use crate::fence::{self, Leave, Process};

/// How the writing of a group ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// All of it is committed.
    All,
    /// Nothing is; what could not be was answered and taken out.
    Sorted,
}

/// A group, table by table.
#[derive(Default)]
struct Tables<'a> {
    keys: idempotency::Rows<'a>,
    messages: messages::Rows<'a>,
    moves: messages::Moves<'a>,
    contents: contents::Rows<'a>,
    new_recipients: recipients::Rows<'a>,
    recipients: recipients::Rows<'a>,
    new_attempts: attempts::Rows<'a>,
    attempts: attempts::Rows<'a>,
    skips: skips::Rows<'a>,
    acts: acts::Rows<'a>,
    forgotten: Vec<(TenantId, MessageId)>,
}

impl<'a> Tables<'a> {
    fn of(requests: &'a [Request]) -> Self {
        let mut tables = Self::default();
        // In one order everywhere, so that two groups which meet on several rows wait for each other in one direction.
        let mut steps = Vec::new();
        let mut rows = Vec::new();
        for request in requests {
            match &request.work {
                Work::Accept(batch) => rows.extend(batch),
                Work::Record(step, mark) => steps.push((step, *mark)),
            }
        }
        rows.sort_unstable_by_key(|row| (&row.new.message.tenant, row.new.message.id));
        steps.sort_unstable_by_key(|(step, _)| (&step.tenant, step.message_id));
        for row in rows {
            tables.add_new(row);
        }
        for (step, mark) in steps {
            let (tenant, id) = (&step.tenant, step.message_id);
            tables.moves.add(step, mark);
            tables.attempts.add(tenant, id, &step.attempts);
            tables.skips.add(tenant, id, &step.skips, false);
            if let Some(list) = &step.recipients {
                tables.recipients.add(tenant, id, list);
            }
            if let Some(act) = &step.act {
                tables.acts.add(tenant, id, act);
            }
            if step.forget_body {
                tables.forgotten.push((tenant.clone(), id));
            }
        }
        tables
    }

    fn add_new(&mut self, row: &'a Encoded) {
        let new = &row.new;
        let (tenant, id) = (&new.message.tenant, new.message.id);
        if let Some(key) = &new.idempotency {
            self.keys.add(tenant, id, key);
        }
        self.messages.add(new);
        self.contents.add(row);
        self.new_recipients.add(tenant, id, &new.recipients);
        self.new_attempts.add(tenant, id, new.intent.as_slice());
        self.skips.add(tenant, id, &new.skips, true);
    }
}

/// Writes requests as one transaction. `committing` is set as soon as it may be committed.
pub(crate) async fn write(
    session: &Session,
    owner: i64,
    now: Timestamp,
    requests: &mut Vec<Request>,
    committing: &mut bool,
) -> Result<Written, Fault> {
    // Boxed: a dozen statements on their way at once take much room, which every caller would carry.
    if requests.iter().any(has_twins) || !Box::pin(try_write(session, owner, now, requests, committing)).await? {
        sort_out(session, owner, now, requests).await?;
        return Ok(Written::Sorted);
    }
    Ok(Written::All)
}

/// False when not all of it could be written; then nothing was.
async fn try_write(session: &Session, owner: i64, now: Timestamp, requests: &[Request], committing: &mut bool) -> Result<bool, Fault> {
    let mut tables = Tables::of(requests);
    let emptied = contents::without_bodies(session, &tables.forgotten).await?;
    let keys = tables.keys.len();
    // In this order they go out, and the database works on them one after the other.
    let (begun, (taken, stored), contents, new_recipients, new_attempts, moved, recipients, rest, attempts, skips, acts, emptied) = tokio::join!(
        biased;
        session.run("BEGIN"),
        async { tokio::join!(
            biased;
            idempotency::take(session, &mut tables.keys, now),
            messages::insert(session, owner, &tables.messages, now),
        ) },
        contents::insert(session, &tables.contents),
        recipients::insert(session, &tables.new_recipients),
        attempts::insert(session, &tables.new_attempts),
        messages::update(session, owner, &tables.moves),
        recipients::replace(session, &tables.recipients),
        recipients::remove_rest(session, &tables.recipients),
        attempts::upsert(session, &tables.attempts),
        skips::append(session, &tables.skips),
        acts::append(session, &tables.acts),
        contents::forget_bodies(session, &emptied),
    );
    begun?;
    if let Err(Fault::Taken(_)) = stored {
        session.run("ROLLBACK").await?;
        return Ok(false);
    }
    let (taken, stored) = (taken?, stored?);
    for written in [contents, new_recipients, new_attempts] {
        written?;
    }
    let moved = moved?;
    for written in [recipients, rest, attempts, skips, acts, emptied.map(drop)] {
        written?;
    }
    if taken != keys || stored != tables.messages.len() || moved != tables.moves.len() {
        session.run("ROLLBACK").await?;
        return Ok(false);
    }
    failpoint::pass("group.before_commit");
    *committing = true;
    session.run("COMMIT").await?;
    failpoint::pass("group.after_commit");
    Ok(true)
}

/// Whether a batch names a key or an id twice, so that it cannot be written whatever is stored.
fn has_twins(request: &Request) -> bool {
    match &request.work {
        Work::Accept(rows) if rows.len() > 1 => {
            let mut twins = Twins::default();
            let answers: Vec<Stored> = rows.iter().map(|row| twins.answer(&row.new, None)).collect();
            !batch::is_new(&answers)
        }
        Work::Accept(_) | Work::Record(..) => false,
    }
}

/// What is stored that requests may have to do with.
struct Facts {
    taken: Taken,
    standings: Standings,
    is_alive: bool,
}

/// Answers the requests that cannot be written and takes them out.
async fn sort_out(session: &Session, owner: i64, now: Timestamp, requests: &mut Vec<Request>) -> Result<(), Fault> {
    let mut keys: Vec<(&TenantId, &IdempotencyKey)> = Vec::new();
    let mut ids: Vec<(TenantId, MessageId)> = Vec::new();
    for request in requests.iter() {
        match &request.work {
            Work::Accept(rows) => {
                for Encoded { new, .. } in rows {
                    keys.extend(new.idempotency.as_ref().map(|key| (&new.message.tenant, key)));
                    ids.push((new.message.tenant.clone(), new.message.id));
                }
            }
            Work::Record(step, _) => ids.push((step.tenant.clone(), step.message_id)),
        }
    }
    let (taken, standings, is_alive) = tokio::join!(
        biased;
        idempotency::taken(session, &keys, now),
        messages::standings(session, &ids),
        owners::is_alive(session, owner),
    );
    let facts = Facts {
        taken: taken?,
        standings: standings?,
        is_alive: is_alive?,
    };
    for request in std::mem::take(requests) {
        let answer = match &request.work {
            Work::Accept(rows) => judge_accept(rows, &facts),
            Work::Record(step, mark) => judge_step(step, *mark, owner, &facts),
        };
        match answer {
            Some(answer) => request.answer(answer),
            None => requests.push(request),
        }
    }
    Ok(())
}

/// None when it can be written.
fn judge_accept(rows: &[Encoded], facts: &Facts) -> Option<Result<Answer, StoreError>> {
    let mut twins = Twins::default();
    let answers: Vec<Stored> = rows.iter().map(|row| twins.answer(&row.new, earlier(row, facts))).collect();
    if !batch::is_new(&answers) {
        return Some(Ok(Answer::Stored(answers)));
    }
    let is_refused = !facts.is_alive && rows.iter().any(|row| row.new.intent.is_some());
    is_refused.then_some(Err(StoreError::Fenced))
}

/// What an earlier request makes of a message.
fn earlier(row: &Encoded, facts: &Facts) -> Option<Stored> {
    let message = &row.new.message;
    let by_key = row.new.idempotency.as_ref().and_then(|key| {
        let earlier = facts.taken.get(&(message.tenant.clone(), key.key.clone()))?;
        Some(if earlier.fingerprint == key.fingerprint {
            Stored::Replayed(earlier.message)
        } else {
            Stored::KeyConflict
        })
    });
    by_key.or_else(|| {
        let is_there = facts
            .standings
            .get(&message.id)
            .is_some_and(|(tenant, _)| *tenant == message.tenant);
        is_there.then_some(Stored::Replayed(message.id))
    })
}

/// None when it can be written.
fn judge_step(step: &ums_core::Step, mark: i64, owner: i64, facts: &Facts) -> Option<Result<Answer, StoreError>> {
    let standing = match facts.standings.get(&step.message_id) {
        Some((tenant, Ok(standing))) if *tenant == step.tenant => standing,
        Some((tenant, Err(StoreError::Corrupt { table, column, id }))) if *tenant == step.tenant => {
            let (table, column, id) = (*table, *column, id.clone());
            return Some(Err(StoreError::Corrupt { table, column, id }));
        }
        _ => return Some(Err(StoreError::NotFound)),
    };
    let process = Process { owner, may_send: true };
    match fence::judge(standing, process, step, mark) {
        Err(refused) => Some(Err(refused)),
        Ok(Leave::Repeated) => Some(Ok(Answer::Recorded)),
        // What goes on needs a lease; what has ended is told as long as nobody took it over.
        Ok(Leave::Write { owner: Some(_), .. }) if !facts.is_alive => Some(Err(StoreError::Fenced)),
        Ok(Leave::Write { .. }) => None,
    }
}
