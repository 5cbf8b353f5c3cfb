//! 4. The worker claims due messages from the store (scheduled, held, of batches, and those of dead processes) and delivers each in a
//!    task of its own.
//!
//! **Invariant:** every claimed message has a lane permit and a task. A claimed message without either would lie until this process dies.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use ums_core::{
    AttemptOutcome, AttemptRecord, Content, Email, FailureClass, MessageRecord, Purpose, Room, Sms, Status, StoreError, failpoint,
};

use crate::accept::walk_of;
use crate::chain::{Routed, Walk};
use crate::deliver::{Work, deliver};
use crate::desk::Desk;
use crate::dispatch::Dispatch;
use crate::drain::Progress;
use crate::fate::Happened;
use crate::gates;
use crate::in_hand::Held;
use crate::journal::Journal;
use crate::lanes::{LANES, LanePermit, lane};
use crate::lease::Term;
use crate::memory::Share;
use crate::queue::LONGEST_WAIT;

/// Most messages of a lane in one claim.
const CLAIM: usize = 100;
/// Longest sleep while a lane has no permits; freed permits wake the worker earlier.
const NO_ROOM: Duration = Duration::from_millis(50);
/// Sleep when the store could not be read.
const AGAIN: Duration = Duration::from_secs(1);

/// Works until the engine closes.
pub(crate) async fn run(dispatch: Arc<Dispatch>) {
    let desk = &dispatch.desk;
    loop {
        let wait = match claim_what_is_due(&dispatch).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(%error, "the queue could not be read");
                desk.ports.shortages.noted(&error, &*desk.ports.clock);
                AGAIN
            }
        };
        tokio::select! {
            biased;
            () = desk.ports.closing.cancelled() => return,
            () = desk.queue.news() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Claims all due messages that have permits. Returns the time until the next look.
async fn claim_what_is_due(dispatch: &Arc<Dispatch>) -> Result<Duration, StoreError> {
    let desk = &dispatch.desk;
    loop {
        if desk.ports.closing.is_cancelled() || !desk.may_send() {
            return Ok(LONGEST_WAIT);
        }
        dispatch.lanes.looking();
        let mut claimed = 0;
        let mut no_room = false;
        for lanes in turns(dispatch) {
            let room = ClaimPermits::acquire(dispatch, lanes);
            no_room |= lanes.iter().any(|purpose| room.of(*purpose) == 0);
            if !room.is_empty() {
                claimed += claim(dispatch, room).await?;
            }
        }
        if claimed > 0 {
            continue;
        }
        if no_room {
            dispatch.lanes.want_room();
            return Ok(NO_ROOM);
        }
        let now = desk.now();
        let next = desk.ports.store.next_due().await?;
        return Ok(next.map_or(LONGEST_WAIT, |next| next.since(now).clamp(Duration::from_millis(1), LONGEST_WAIT)));
    }
}

/// The lanes of each claim: all lanes in one claim while there are permits enough, else one lane after the other. A claim holds its
/// permits while the store answers; few permits held for one lane would be missing in another.
fn turns(dispatch: &Dispatch) -> &'static [&'static [Purpose]] {
    const TOGETHER: &[&[Purpose]] = &[&LANES];
    const IN_TURN: &[&[Purpose]] = &[&[Purpose::Otp], &[Purpose::Transactional], &[Purpose::Bulk]];
    if dispatch.lanes.free_for_bulk() >= LANES.len() * CLAIM {
        TOGETHER
    } else {
        IN_TURN
    }
}

/// Permits for one claim, by lane. Acquired before the claim, because messages that are accepted meanwhile compete for them.
struct ClaimPermits([Vec<LanePermit>; 3]);

impl ClaimPermits {
    fn acquire(dispatch: &Dispatch, lanes: &[Purpose]) -> Self {
        let now = Instant::now();
        let mut acquired = Self(std::array::from_fn(|_| Vec::new()));
        for purpose in lanes {
            let limit = dispatch.drain.room(*purpose, now).min(CLAIM);
            acquired.0[lane(*purpose)] = dispatch.lanes.acquire_many(*purpose, limit);
        }
        acquired
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

/// Claims due messages and spawns their deliveries. Returns how many were claimed. A claim reads envelopes, so their number bounds it; each
/// delivery takes the memory of its body later.
async fn claim(dispatch: &Arc<Dispatch>, mut permits: ClaimPermits) -> Result<usize, StoreError> {
    let desk = &dispatch.desk;
    let claiming = dispatch.claiming.lock().await;
    let term = desk.lease.term();
    let due = desk.ports.store.claim_due(desk.now(), permits.room()).await?;
    failpoint::pass("claim.committed");
    let claimed = due.len();
    for record in due {
        let purpose = record.message.handling.purpose;
        let permit = permits.0[lane(purpose)].pop();
        dispatch.drain.claimed(purpose, 1);
        let held = desk.in_hand.hold(record.message.id);
        match record.message.content {
            Content::Email(_) => spawn::<Email>(dispatch, record, term, held, permit),
            Content::Sms(_) => spawn::<Sms>(dispatch, record, term, held, permit),
        }
    }
    drop(claiming);
    Ok(claimed)
}

/// Works on a claimed message in a task of its own.
fn spawn<M: Routed>(dispatch: &Arc<Dispatch>, record: MessageRecord, term: Term, held: Held, permit: Option<LanePermit>) {
    let of_task = dispatch.clone();
    dispatch.desk.ports.tasks.spawn(async move {
        let mut out = Out {
            dispatch: &of_task,
            purpose: record.message.handling.purpose,
            progress: Progress::Neutral,
        };
        out.progress = work_on::<M>(&of_task.desk, record, term, held).await;
        drop(out);
        drop(permit);
    });
}

/// A claimed message in the window of its lane. Dropping it takes the message out of the window, also when its task panics.
struct Out<'a> {
    dispatch: &'a Dispatch,
    purpose: Purpose,
    progress: Progress,
}

impl Drop for Out<'_> {
    fn drop(&mut self) {
        self.dispatch.drain.done(self.purpose, self.progress, Instant::now());
    }
}

/// Excludes the provider that accepted the message last and then reported that it did not send it, if the message may use another one.
fn exclude_who_gave_it_up<M: Routed>(desk: &Desk, record: &MessageRecord, walk: &mut Walk) {
    // The walk passes over a provider whose unsubscribe list has the recipient, and says so.
    let gave_up = |attempt: &&AttemptRecord| {
        (attempt.outcome, attempt.reported) == (AttemptOutcome::Failed, Some(Status::Failed))
            && attempt.class != Some(FailureClass::ProviderUnsubscribed)
    };
    let Some(last) = record.attempts.last().filter(gave_up) else {
        return;
    };
    let links = &M::chain(&desk.chains).links;
    let via = record.message.handling.via;
    if links.iter().filter(|link| via.is_none_or(|via| via == link.kind)).count() > 1 {
        let indexed = links.iter().enumerate();
        let its = indexed.filter(|(_, link)| (link.kind, &link.account) == (last.provider, &last.account));
        its.for_each(|(index, _)| walk.exclude(index));
    }
}

/// Delivers a claimed message, unless a gate stops it.
async fn work_on<M: Routed>(desk: &Desk, record: MessageRecord, term: Term, held: Held) -> Progress {
    let content = &record.message.content;
    if let Some(stopped) = gates::check(&desk.rules, content, desk.chains.are_local_for(content)) {
        let id = record.message.id;
        let mut journal = Journal::new(desk, record);
        journal.happened(Happened::Stopped(stopped));
        // The journal tells when the step is refused; then another process has the message.
        journal.commit(None).await.ok();
        drop(held);
        desk.parking.release(id);
        return Progress::Neutral;
    }
    let mut walk = walk_of::<M>(&record.message);
    exclude_who_gave_it_up::<M>(desk, &record, &mut walk);
    let work = Work::<M> {
        walk,
        record,
        slot: None,
        term,
        held,
        memory: Share::default(),
    };
    deliver(desk, work).await.progress
}
