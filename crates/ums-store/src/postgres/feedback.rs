//! A batch of feedback as one transaction.
//!
//! The messages are locked first, in one order; what is known of them and of the events is read under these locks; all steps are judged one
//! after the other, each as if those before it were written; then they are written together. Two steps that meet on a message or an event
//! are written one after the other within the transaction.
//!
//! An event without a message has no lock. Another process may keep the same one at the same moment; then the numbers do not fit, and
//! all of it is done again.
//!
//! Only here: SQLite has one writer, which judges and writes step by step.

use std::collections::{HashMap, HashSet};

use ums_core::{Event, FeedbackStep, FeedbackTaken, MessageId, Parked, Step, StoreError, TenantId, Timestamp};

use super::connection::{Fault, Session};
use super::events::{self, Name};
use super::messages::{self, Standings};
use super::suppressions::{self, Contacts};
use super::tables::Tables;
use crate::fence::{self, Leave, Process, Standing};
use crate::{kept, listed};

/// Takes a batch. What each step came to, in order. [`Fault::Busy`] when others were in the way; then it is to be rolled back and taken again.
pub(crate) async fn take(session: &Session, owner: i64, now: Timestamp, steps: &[FeedbackStep]) -> Result<Vec<FeedbackTaken>, Fault> {
    let first = if steps.iter().any(changes_list) {
        suppressions::BEGIN_CHANGE
    } else {
        "BEGIN"
    };
    let keys = messages_of(steps);
    let (begun, standings) = tokio::join!(
        biased;
        session.run(first),
        messages::lock(session, &keys),
    );
    begun?;
    // Not sent before the locks are had: what others kept of these messages must be seen.
    let kept = events::kept(session, steps.iter().flat_map(events_of)).await;
    let mut batch = Batch {
        owner,
        standings: standings?,
        kept: kept?,
        done: Vec::new(),
        last: Pass::default(),
    };
    let answers = steps.iter().map(|step| batch.take(step)).collect::<Result<Vec<_>, StoreError>>()?;
    for mut pass in batch.done.into_iter().chain([batch.last]) {
        let emptied = pass.tables.emptied(session).await?;
        let contacts = Contacts::default();
        let written = Box::pin(pass.tables.write(session, (owner, now), None, &emptied, &contacts)).await?;
        let expected = events::Kept {
            written: pass.tables.events(),
            fresh: pass.fresh,
        };
        if written.is_none_or(|written| !written.is_whole || written.kept != expected) {
            return Err(Fault::contended());
        }
    }
    session.run("COMMIT").await?;
    Ok(answers)
}

fn changes_list(step: &FeedbackStep) -> bool {
    match step {
        FeedbackStep::Apply(step) => !step.suppress.is_empty() || !step.lift.is_empty() || !step.undo.is_empty(),
        FeedbackStep::Park(parked) => !parked.suppress.is_empty() || !parked.lift.is_empty(),
    }
}

fn messages_of(steps: &[FeedbackStep]) -> Vec<(TenantId, MessageId)> {
    let applied = steps.iter().filter_map(|step| match step {
        FeedbackStep::Apply(step) => Some((step.tenant.clone(), step.message_id)),
        FeedbackStep::Park(_) => None,
    });
    let mut keys: Vec<_> = applied.collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn events_of(step: &FeedbackStep) -> Vec<&Event> {
    match step {
        FeedbackStep::Apply(step) => step.events.iter().map(|record| &record.event).collect(),
        FeedbackStep::Park(parked) => vec![&parked.record.event],
    }
}

/// Steps that are written with the same statements: no two of them about one message or event.
#[derive(Default)]
struct Pass<'a> {
    tables: Tables<'a>,
    messages: HashSet<MessageId>,
    events: HashSet<Name>,
    /// Events that were not parked before.
    fresh: usize,
}

/// What is known while the steps of a batch are judged.
struct Batch<'a> {
    owner: i64,
    standings: Standings,
    /// Events that are kept: whether they are parked.
    kept: HashMap<Name, bool>,
    done: Vec<Pass<'a>>,
    last: Pass<'a>,
}

impl<'a> Batch<'a> {
    fn take(&mut self, step: &'a FeedbackStep) -> Result<FeedbackTaken, StoreError> {
        match step {
            FeedbackStep::Apply(step) => self.apply(step),
            FeedbackStep::Park(parked) => self.park(parked),
        }
    }

    fn apply(&mut self, step: &'a Step) -> Result<FeedbackTaken, StoreError> {
        let mut names: Vec<Name> = step.events.iter().map(|record| events::name(&record.event)).collect();
        let is_known = |kept: &HashMap<Name, bool>, name: &Name| kept.get(name) == Some(&false);
        if !names.is_empty() && names.iter().all(|name| is_known(&self.kept, name)) {
            return Ok(FeedbackTaken::Known);
        }
        let mark = fence::mark(self.owner, step);
        let token = match self.judge(step, mark) {
            Some(Leave::Write { token, .. }) => token,
            Some(Leave::Repeated) => return Ok(FeedbackTaken::Kept),
            None => return Ok(FeedbackTaken::Refused),
        };
        let kept = &self.kept;
        let news = step
            .events
            .iter()
            .filter(|record| !is_known(kept, &events::name(&record.event)))
            .collect::<Vec<_>>();
        names.retain(|name| !is_known(kept, name));
        names.sort_unstable();
        names.dedup();
        let fresh = names.iter().filter(|name| !kept.contains_key(*name)).count();
        let pass = self.pass_for(Some(step.message_id), &names);
        pass.tables.add_step(step, mark, news)?;
        pass.fresh += fresh;
        self.kept.extend(names.into_iter().map(|name| (name, false)));
        let standing = Standing {
            status: kept::status_of(step.status, step.work),
            owner: None,
            token,
            mark: Some(mark),
        };
        self.standings.insert(step.message_id, (step.tenant.clone(), Ok(standing)));
        Ok(FeedbackTaken::Kept)
    }

    /// None when the step is refused. Nobody may be working on its message, and nobody may after it: so it begins no call either.
    fn judge(&self, step: &Step, mark: i64) -> Option<Leave> {
        let (tenant, standing) = self.standings.get(&step.message_id)?;
        let standing = standing.as_ref().ok().filter(|_| *tenant == step.tenant)?;
        if standing.owner.is_some() || listed::call_after(step).is_some() {
            return None;
        }
        let process = Process {
            owner: self.owner,
            may_send: false,
        };
        fence::judge(standing, process, step, mark).ok()
    }

    fn park(&mut self, parked: &'a Parked) -> Result<FeedbackTaken, StoreError> {
        let name = events::name(&parked.record.event);
        let was = self.kept.get(&name).copied();
        if was == Some(false) {
            return Ok(FeedbackTaken::Known);
        }
        let pass = self.pass_for(None, std::slice::from_ref(&name));
        pass.tables.park(parked)?;
        if was.is_none() {
            pass.fresh += 1;
            pass.tables.change_list(&parked.suppress, &parked.lift, &parked.notices);
        }
        self.kept.insert(name, parked.due_at.is_some());
        Ok(FeedbackTaken::Kept)
    }

    /// The pass in which something about this message and these events can be written: the last one, or one after it.
    fn pass_for(&mut self, message: Option<MessageId>, names: &[Name]) -> &mut Pass<'a> {
        let meets = message.is_some_and(|message| self.last.messages.contains(&message));
        if meets || names.iter().any(|name| self.last.events.contains(name)) {
            self.done.push(std::mem::take(&mut self.last));
        }
        self.last.messages.extend(message);
        self.last.events.extend(names.iter().cloned());
        &mut self.last
    }
}
