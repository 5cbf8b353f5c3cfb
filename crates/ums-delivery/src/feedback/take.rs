//! Events are sorted to their messages, and each message makes one step of those that came for it.
//!
//! **Invariant:** a message that a process works on is left alone; its events wait until it is free.

use std::collections::{BTreeMap, BTreeSet};

use ums_core::{Event, EventRecord, FeedbackStep, FeedbackTaken, MessageRecord, Purpose, Status, Step, StoreError, Target};

use super::FeedbackTally;
use super::lift::lift;
use super::matching;
use super::parking;
use super::says::Says;
use crate::flow::Flow;
use crate::observer::{FeedbackEnd, FeedbackSeen};
use crate::outbox::{notices_for, told};

/// Most events that are taken as one.
const AT_ONCE: usize = 500;
/// How often a message that changed meanwhile is read anew, before its events are parked.
const TRIES: usize = 4;

/// An event on its way to its message.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) record: EventRecord,
    /// How often it was looked at before; 0 when it comes from its provider.
    pub(super) looks: u32,
}

/// Takes events as they come from providers.
pub(crate) async fn take(flow: &Flow, events: Vec<Event>) -> Result<FeedbackTally, StoreError> {
    let mut tally = FeedbackTally::default();
    let mut events = events.into_iter().peekable();
    while events.peek().is_some() {
        let received_at = flow.clock.now();
        let batch = events.by_ref().take(AT_ONCE);
        let items = batch.map(|event| Item {
            record: EventRecord {
                event,
                received_at,
                attempt_id: None,
            },
            looks: 0,
        });
        tally.add(take_items(flow, items.collect()).await?);
    }
    Ok(tally)
}

/// Takes events that came now or waited.
pub(super) async fn take_items(flow: &Flow, items: Vec<Item>) -> Result<FeedbackTally, StoreError> {
    let mut tally = FeedbackTally::default();
    let mut left = once_each(flow, items, &mut tally);
    for tries in 1..=TRIES {
        if left.is_empty() {
            break;
        }
        left = take_once(flow, left, tries == TRIES, &mut tally).await?;
    }
    Ok(tally)
}

/// Leaves out what is told twice in one batch.
fn once_each(flow: &Flow, items: Vec<Item>, tally: &mut FeedbackTally) -> Vec<Item> {
    let mut seen = BTreeSet::new();
    let mut once = Vec::with_capacity(items.len());
    for item in items {
        let event = &item.record.event;
        if seen.insert((event.provider, event.account.clone(), event.id.clone())) {
            once.push(item);
        } else {
            tally.count(flow, &item, FeedbackEnd::Known);
        }
    }
    once
}

/// Sorts, decides and keeps; gives back what has to be decided anew because its message changed meanwhile. The last time that waits
/// instead.
async fn take_once(flow: &Flow, items: Vec<Item>, last: bool, tally: &mut FeedbackTally) -> Result<Vec<Item>, StoreError> {
    let (groups, mut plans) = sort(flow, items, tally).await?;
    for (message, items) in groups {
        if is_under_way(&message) {
            for item in items {
                plans.push(Plan::park(flow, item, Some(&message)).await);
            }
        } else {
            plans.push(Plan::apply(flow, message, items).await);
        }
    }
    let steps = plans.iter().map(|plan| plan.step.clone()).collect();
    let taken = flow.store.take_feedback(steps).await?;
    let mut again = Vec::new();
    let mut parked = Vec::new();
    for (plan, taken) in plans.into_iter().zip(taken) {
        match taken {
            FeedbackTaken::Kept => plan.kept(flow, tally),
            FeedbackTaken::Known => plan.items.iter().for_each(|item| tally.count(flow, item, FeedbackEnd::Known)),
            FeedbackTaken::Refused if last => {
                let message = plan.applied.map(|applied| applied.before);
                for item in plan.items {
                    parked.push(Plan::park(flow, item, message.as_ref()).await);
                }
            }
            FeedbackTaken::Refused => again.extend(plan.items),
        }
    }
    if !parked.is_empty() {
        flow.store
            .take_feedback(parked.iter().map(|plan| plan.step.clone()).collect())
            .await?;
        for plan in parked {
            plan.kept(flow, tally);
        }
    }
    Ok(again)
}

/// Messages with the events that came for them, in the order in which they came; and plans for events that are nobody's.
type Sorted = (Vec<(MessageRecord, Vec<Item>)>, Vec<Plan>);

async fn sort(flow: &Flow, items: Vec<Item>, tally: &mut FeedbackTally) -> Result<Sorted, StoreError> {
    let events: Vec<Event> = items.iter().map(|item| item.record.event.clone()).collect();
    let targets = flow.store.feedback_targets(&events).await?;
    let mut groups: Vec<(MessageRecord, Vec<Item>)> = targets.messages.into_iter().map(|message| (message, Vec::new())).collect();
    let mut places: BTreeMap<_, usize> = groups
        .iter()
        .enumerate()
        .map(|(place, (message, _))| (message.message.id, place))
        .collect();
    let mut plans = Vec::new();
    for (mut item, target) in items.into_iter().zip(targets.of) {
        match target {
            Target::Known => tally.count(flow, &item, FeedbackEnd::Known),
            Target::Message(place, attempt) => {
                item.record.attempt_id = attempt;
                if let Some((_, group)) = groups.get_mut(place) {
                    group.push(item);
                }
            }
            Target::Nobody => {
                if let Some((message, attempt)) = matching::by_recipient_and_time(flow, &item).await? {
                    item.record.attempt_id = Some(attempt);
                    let place = *places.entry(message.message.id).or_insert_with(|| {
                        groups.push((message, Vec::new()));
                        groups.len() - 1
                    });
                    groups[place].1.push(item);
                } else {
                    parking::give_up_on_recipient(flow, &item).await?;
                    plans.push(Plan::park(flow, item, None).await);
                }
            }
        }
    }
    groups.retain(|(_, items)| !items.is_empty());
    Ok((groups, plans))
}

/// Whether some process works on it right now.
fn is_under_way(record: &MessageRecord) -> bool {
    !record.status.is_final() && record.due_at.is_none()
}

/// What is to be kept for some events.
struct Plan {
    step: FeedbackStep,
    items: Vec<Item>,
    applied: Option<Applied>,
}

/// A message before and after its events.
struct Applied {
    before: MessageRecord,
    after: MessageRecord,
    new: Vec<EventRecord>,
}

impl Plan {
    async fn park(flow: &Flow, item: Item, message: Option<&MessageRecord>) -> Self {
        let parked = parking::parked(flow, &item, message).await;
        Self {
            step: FeedbackStep::Park(Box::new(parked)),
            items: vec![item],
            applied: None,
        }
    }

    async fn apply(flow: &Flow, before: MessageRecord, items: Vec<Item>) -> Self {
        let new: Vec<EventRecord> = items.iter().map(|item| item.record.clone()).collect();
        let mut with_new = before.clone();
        with_new.events.extend(new.iter().cloned());
        let now = flow.clock.now();
        let after = lift(&with_new, now);
        let mut says = Says::default();
        for record in &new {
            says.hear(record, Some(&before), &before.message.tenant);
        }
        let mut step = step_between(&before, &after, &new);
        step.notices = notices_for(flow, &after, told(&before), &new);
        step.notices.extend(says.notices(flow, now).await);
        (step.suppress, step.lift) = (says.suppress, says.lift);
        Self {
            step: FeedbackStep::Apply(Box::new(step)),
            items,
            applied: Some(Applied { before, after, new }),
        }
    }

    /// It is kept: tells whoever has to know.
    fn kept(self, flow: &Flow, tally: &mut FeedbackTally) {
        let end = if self.applied.is_some() {
            FeedbackEnd::Applied
        } else {
            FeedbackEnd::Parked
        };
        for item in &self.items {
            tally.count(flow, item, end);
            if item.looks == 0 {
                let message = self.applied.as_ref().map(|applied| &applied.before);
                flow.reports.note(flow, &item.record, message);
            }
        }
        match (self.applied, self.step) {
            (Some(applied), _) => applied.tell(flow),
            (None, FeedbackStep::Park(parked)) => flow.parking.note(&parked),
            (None, FeedbackStep::Apply(_)) => {}
        }
    }
}

impl Applied {
    fn tell(&self, flow: &Flow) {
        let (before, after) = (&self.before, &self.after);
        flow.rates.events(before, &self.new);
        for (was, is) in before.attempts.iter().zip(&after.attempts) {
            let accepted = ums_core::AttemptOutcome::Accepted;
            if was.outcome != accepted && is.outcome == accepted {
                let recipients = u64::try_from(after.recipients.len()).unwrap_or(u64::MAX);
                flow.rates.accepted(&after.message, is, recipients);
            }
        }
        if before.status != after.status {
            tracing::info!(message_id = %after.message.id, from = %before.status, to = %after.status, "feedback");
        }
        if after.due_at != before.due_at && after.status == Status::Queued {
            flow.queued.notify_one();
        }
    }
}

/// The step from one record of a message to the other.
fn step_between(before: &MessageRecord, after: &MessageRecord, new: &[EventRecord]) -> Step {
    let changed = before.attempts.iter().zip(&after.attempts).filter(|(was, is)| was != is);
    Step {
        tenant: after.message.tenant.clone(),
        message_id: after.message.id,
        token: before.token,
        attempts: changed.map(|(_, is)| is.clone()).collect(),
        skips: Vec::new(),
        status: after.status,
        error: after.error.clone(),
        due_at: after.due_at,
        sent_at: after.sent_at,
        delivered_at: after.delivered_at,
        recipients: (before.recipients != after.recipients).then(|| after.recipients.clone()),
        act: None,
        expires_at: None,
        forget_body: after.status.is_final() && after.message.handling.purpose == Purpose::Otp,
        events: new.to_vec(),
        suppress: Vec::new(),
        lift: Vec::new(),
        notices: Vec::new(),
    }
}

impl FeedbackTally {
    fn add(&mut self, other: Self) {
        self.applied += other.applied;
        self.known += other.known;
        self.parked += other.parked;
    }

    fn count(&mut self, flow: &Flow, item: &Item, end: FeedbackEnd) {
        match end {
            FeedbackEnd::Applied => self.applied += 1,
            FeedbackEnd::Known => self.known += 1,
            FeedbackEnd::Parked => self.parked += 1,
        }
        if item.looks == 0 || end == FeedbackEnd::Applied {
            let event = &item.record.event;
            flow.observer.feedback(&FeedbackSeen {
                provider: event.provider,
                kind: event.kind,
                end,
            });
        }
    }
}
