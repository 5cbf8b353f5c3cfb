//! One group of requests as one transaction of a few statements.
//!
//! It is written in the belief that every request is good: the statements go out together, and what they say they
//! have written is counted. When something is missing (a key that is taken, a message that was stored before, a
//! fence, an illegal move, a recipient on the suppression list), the transaction is rolled back, the requests are looked at one by one, those that come to
//! nothing are answered, and the others are written again. So a request that fails takes no other with it, and the common
//! case costs two round trips.
//!
//! Only here: SQLite writes row by row in its own process, where a statement costs no round trip.

use ums_core::{IdempotencyKey, MessageId, StoreError, Stored, TenantId, Timestamp, failpoint};

use super::connection::{Fault, Session};
use super::contacts::{Known, Listings};
use super::idempotency::Taken;
use super::messages::Standings;
use super::request::{Answer, Request, Work};
use super::tables::Tables;
use super::{idempotency, messages, owners, suppressions};
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

/// A group, table by table. In one order everywhere, so that two groups which meet on several rows wait for each other in one direction.
fn tables(requests: &[Request]) -> Result<Tables<'_>, StoreError> {
    let mut tables = Tables::default();
    let mut steps = Vec::new();
    let mut rows = Vec::new();
    for request in requests {
        match &request.work {
            Work::Accept(batch) => rows.extend(batch.iter()),
            Work::Record(step, mark) => steps.push((step, *mark)),
        }
    }
    rows.sort_unstable_by_key(|row| (&row.new.message.tenant, row.new.message.id));
    steps.sort_unstable_by_key(|(step, _)| (&step.tenant, step.message_id));
    for row in rows {
        tables.add_new(row)?;
    }
    for (step, mark) in steps {
        tables.add_step(step, mark, &step.events)?;
    }
    Ok(tables)
}

/// Writes requests as one transaction. `committing` is set as soon as it may be committed.
pub(crate) async fn write(
    session: &Session,
    owner: i64,
    now: Timestamp,
    requests: &mut Vec<Request>,
    committing: &mut bool,
) -> Result<Written, Fault> {
    if requests.iter().any(has_twins) || !try_write(session, owner, now, requests, committing).await? {
        sort_out(session, owner, now, requests).await?;
        return Ok(Written::Sorted);
    }
    Ok(Written::All)
}

/// False when not all of it could be written; then nothing was.
async fn try_write(session: &Session, owner: i64, now: Timestamp, requests: &[Request], committing: &mut bool) -> Result<bool, Fault> {
    let mut tables = tables(requests)?;
    let emptied = tables.emptied(session).await?;
    let known = Known::read(session, requests).await?;
    let contacts = known.contacts(requests);
    let begin = tables.begin(&contacts);
    // Boxed: a dozen statements on their way at once take much room, which every caller would carry.
    let written = Box::pin(tables.write(session, (owner, now), Some(begin), &emptied, &contacts)).await?;
    let is_good = written.is_some_and(|written| written.is_whole && known.allows(requests, &written.listings, now));
    if !is_good {
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
    known: Known,
    listings: Listings,
    now: Timestamp,
}

/// Answers the requests that cannot be written and takes them out.
async fn sort_out(session: &Session, owner: i64, now: Timestamp, requests: &mut Vec<Request>) -> Result<(), Fault> {
    let mut keys: Vec<(&TenantId, &IdempotencyKey)> = Vec::new();
    let mut ids: Vec<(TenantId, MessageId)> = Vec::new();
    for request in requests.iter() {
        match &request.work {
            Work::Accept(rows) => {
                for Encoded { new, .. } in rows.iter() {
                    keys.extend(new.idempotency.as_ref().map(|key| (&new.message.tenant, key)));
                    ids.push((new.message.tenant.clone(), new.message.id));
                }
            }
            Work::Record(step, _) => ids.push((step.tenant.clone(), step.message_id)),
        }
    }
    let known = Known::read(session, requests).await?;
    let contacts = known.contacts(requests);
    let (taken, standings, is_alive, listings) = tokio::join!(
        biased;
        idempotency::taken(session, &keys),
        messages::standings(session, &ids),
        owners::is_alive(session, owner),
        suppressions::of_contacts(session, &contacts),
    );
    drop(contacts);
    let facts = Facts {
        taken: taken?,
        standings: standings?,
        is_alive: is_alive?,
        known,
        listings: listings?,
        now,
    };
    for request in std::mem::take(requests) {
        let answer = match &request.work {
            Work::Accept(rows) => judge_accept(rows, &facts),
            Work::Record(step, mark) => judge_step(step, *mark, owner, &facts),
        };
        let answer = answer.or_else(|| {
            let listed = facts.known.forbids(&request, &facts.listings, facts.now);
            (!listed.is_empty()).then_some(Err(StoreError::MustNotContact(listed)))
        });
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
