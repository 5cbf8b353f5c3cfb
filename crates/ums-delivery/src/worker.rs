//! Takes up messages that are due: scheduled ones, held ones, batches, and what an earlier process left.
//!
//! **Invariant:** what is claimed has its place and is worked on: a claimed message without either would lie until its owner dies.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use ums_core::{AttemptOutcome, AttemptRecord, Content, Email, MessageRecord, Purpose, Room, Sms, Status, StoreError, failpoint};

use crate::accept::walk_of;
use crate::carried::Carried;
use crate::chain::Walk;
use crate::deliver::{Work, deliver};
use crate::drain::Progress;
use crate::flow::Flow;
use crate::gates;
use crate::in_hand::Held;
use crate::lanes::{LANES, Place, lane};
use crate::lease::Term;

/// Most messages of a lane taken up at once.
const CLAIM: usize = 100;
/// Longest sleep: another process may have queued something.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Sleep while a lane has no room, unless somebody makes room before.
const NO_ROOM: Duration = Duration::from_millis(50);
/// Sleep when the store could not be read.
const AGAIN: Duration = Duration::from_secs(1);

/// Works until the engine closes.
pub(crate) async fn run(flow: Arc<Flow>) {
    loop {
        let wait = match take_up_what_is_due(&flow).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(%error, "the queue could not be read");
                AGAIN
            }
        };
        tokio::select! {
            biased;
            () = flow.closing.cancelled() => return,
            () = flow.queued.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Takes up all that is due and that there is room for, and gives the time until it is worth a look again.
async fn take_up_what_is_due(flow: &Arc<Flow>) -> Result<Duration, StoreError> {
    loop {
        if flow.closing.is_cancelled() || !flow.may_send() {
            return Ok(LONGEST_WAIT);
        }
        flow.lanes.looking();
        let mut claimed = 0;
        let mut no_room = false;
        for lanes in turns(flow) {
            let room = Taken::take(flow, lanes);
            no_room |= lanes.iter().any(|purpose| room.of(*purpose) == 0);
            if !room.is_empty() {
                claimed += claim(flow, room).await?;
            }
        }
        if claimed > 0 {
            continue;
        }
        if no_room {
            flow.lanes.want_room();
            return Ok(NO_ROOM);
        }
        let now = flow.clock.now();
        let next = flow.store.next_due().await?;
        return Ok(next.map_or(LONGEST_WAIT, |next| next.since(now).clamp(Duration::from_millis(1), LONGEST_WAIT)));
    }
}

/// The lanes of each claim: all at once while there are places enough for all, else one after the other, so that places that
/// are kept for one lane while the store looks are not missing in another.
fn turns(flow: &Flow) -> &'static [&'static [Purpose]] {
    const TOGETHER: &[&[Purpose]] = &[&LANES];
    const IN_TURN: &[&[Purpose]] = &[&[Purpose::Otp], &[Purpose::Transactional], &[Purpose::Bulk]];
    if flow.lanes.free_for_bulk() >= LANES.len() * CLAIM {
        TOGETHER
    } else {
        IN_TURN
    }
}

/// Places that are taken before the claim: messages that are accepted meanwhile may take what was merely seen to be free.
struct Taken([Vec<Place>; 3]);

impl Taken {
    fn take(flow: &Flow, lanes: &[Purpose]) -> Self {
        let now = Instant::now();
        let mut taken = Self(std::array::from_fn(|_| Vec::new()));
        for purpose in lanes {
            let limit = flow.drain.room(*purpose, now).min(CLAIM);
            taken.0[lane(*purpose)] = flow.lanes.take_many(*purpose, limit);
        }
        taken
    }

    fn of(&self, purpose: Purpose) -> usize {
        self.0[lane(purpose)].len()
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    fn room(&self) -> Room {
        Room {
            otp: self.of(Purpose::Otp),
            transactional: self.of(Purpose::Transactional),
            bulk: self.of(Purpose::Bulk),
        }
    }
}

/// Claims what is due and starts work on it.
async fn claim(flow: &Arc<Flow>, mut taken: Taken) -> Result<usize, StoreError> {
    let claiming = flow.claiming.lock().await;
    let term = flow.lease.term();
    let due = flow.store.claim_due(flow.clock.now(), taken.room()).await?;
    failpoint::pass("claim.committed");
    let claimed = due.len();
    for record in due {
        let purpose = record.message.handling.purpose;
        let place = taken.0[lane(purpose)].pop();
        flow.drain.took(purpose, 1);
        let hold = (flow.in_hand.hold(record.message.id), place);
        match record.message.content {
            Content::Email(_) => go::<Email>(flow, record, term, hold),
            Content::Sms(_) => go::<Sms>(flow, record, term, hold),
        }
    }
    drop(claiming);
    Ok(claimed)
}

fn go<M: Carried>(flow: &Arc<Flow>, record: MessageRecord, term: Term, (held, place): (Held, Option<Place>)) {
    let flow_of_task = flow.clone();
    flow.tasks.spawn(async move {
        let purpose = record.message.handling.purpose;
        let mut out = Out {
            flow: &flow_of_task,
            purpose,
            progress: Progress::Neutral,
        };
        out.progress = work_on::<M>(&flow_of_task, record, term, held).await;
        drop(out);
        drop(place);
    });
}

/// A message of the queue that is worked on. It leaves its lane's window when this is dropped, by a panic, too.
struct Out<'a> {
    flow: &'a Flow,
    purpose: Purpose,
    progress: Progress,
}

impl Drop for Out<'_> {
    fn drop(&mut self) {
        self.flow.drain.done(self.purpose, self.progress, Instant::now());
    }
}

/// A provider that took the message last and then said that it did not send it is not the first to be asked again, if there are others.
fn leave_out_who_gave_it_up<M: Carried>(flow: &Flow, record: &MessageRecord, walk: &mut Walk) {
    let gave_up = |attempt: &&AttemptRecord| (attempt.outcome, attempt.reported) == (AttemptOutcome::Failed, Some(Status::Failed));
    let Some(last) = record.attempts.last().filter(gave_up) else {
        return;
    };
    let links = &M::chain(flow).links;
    let via = record.message.handling.via;
    if links.iter().filter(|link| via.is_none_or(|via| via == link.kind)).count() > 1 {
        let places = links.iter().enumerate();
        let its = places.filter(|(_, link)| (link.kind, &link.account) == (last.provider, &last.account));
        its.for_each(|(place, _)| walk.leave_out(place));
    }
}

async fn work_on<M: Carried>(flow: &Flow, mut record: MessageRecord, term: Term, held: Held) -> Progress {
    if let Some(stopped) = gates::check(flow, &record.message.content) {
        let (id, before) = (record.message.id, crate::outbox::told(&record));
        gates::stop(&mut record, &stopped);
        // The journal tells when the step is refused; then another process has the message.
        let error = record.error.clone();
        let mut journal = crate::journal::Journal::stopped(record, before);
        journal.close(stopped.status, error);
        journal.commit(flow, None).await.ok();
        drop(held);
        flow.parking.release(id);
        return Progress::Neutral;
    }
    let mut walk = walk_of::<M>(&record.message);
    leave_out_who_gave_it_up::<M>(flow, &record, &mut walk);
    let work = Work::<M> {
        walk,
        record,
        slot: None,
        term,
        held,
    };
    deliver(flow, work).await.progress
}
