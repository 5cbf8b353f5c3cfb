//! Takes events: sorts a batch to its messages, has each message decided once, and stores one step for each.
//!
//! **Invariant:** no step is written to a message that a process works on; its events are parked until the message is free.

use std::collections::{BTreeMap, BTreeSet};

use ums_core::{AttemptOutcome, Event, EventRecord, FeedbackStep, FeedbackTaken, MessageRecord, StoreError, Target};

use super::tally::FeedbackTally;
use super::{matching, parked};
use crate::desk::Desk;
use crate::fate::{self, Says};
use crate::journal::step_between;
use crate::observer::FeedbackEnd;
use crate::parking::Item;

/// Most events of one batch.
const AT_ONCE: usize = 500;
/// Number of tries on a message that changes meanwhile, before its events are parked.
const TRIES: usize = 4;

/// Takes events that have just come from a provider. When this returns, the store has all of them.
pub(crate) async fn take(desk: &Desk, events: Vec<Event>) -> Result<FeedbackTally, StoreError> {
    let mut tally = FeedbackTally::default();
    let mut events = events.into_iter().peekable();
    while events.peek().is_some() {
        let received_at = desk.now();
        let batch = events.by_ref().take(AT_ONCE);
        let items = batch.map(|event| Item {
            record: EventRecord {
                event,
                received_at,
                attempt_id: None,
            },
            looks: 0,
        });
        tally.add(take_items(desk, items.collect()).await?);
    }
    Ok(tally)
}

/// Takes new events, or events that were parked.
pub(super) async fn take_items(desk: &Desk, items: Vec<Item>) -> Result<FeedbackTally, StoreError> {
    let mut tally = FeedbackTally::default();
    let mut left = once_each(desk, items, &mut tally);
    for tries in 1..=TRIES {
        if left.is_empty() {
            break;
        }
        left = take_once(desk, left, tries == TRIES, &mut tally).await?;
    }
    Ok(tally)
}

/// Drops the copies of an event within one batch.
fn once_each(desk: &Desk, items: Vec<Item>, tally: &mut FeedbackTally) -> Vec<Item> {
    let mut seen = BTreeSet::new();
    let mut once = Vec::with_capacity(items.len());
    for item in items {
        let event = &item.record.event;
        if seen.insert((event.provider, event.account.clone(), event.id.clone())) {
            once.push(item);
        } else {
            tally.count(&*desk.ports.observer, &item, FeedbackEnd::Known);
        }
    }
    once
}

/// Sorts, decides and stores the events. Returns the events that must be decided anew because their message changed meanwhile; parks them
/// instead if this is the last try.
async fn take_once(desk: &Desk, items: Vec<Item>, last: bool, tally: &mut FeedbackTally) -> Result<Vec<Item>, StoreError> {
    let Sorted { groups, mut plans } = sort(desk, items, tally).await?;
    for Group { message, items } in groups {
        if message.is_under_way() {
            for item in items {
                plans.push(Plan::park(desk, item, Some(&message)));
            }
        } else {
            plans.push(Plan::apply(desk, message, items).await?);
        }
    }
    let steps = plans.iter().map(|plan| plan.step.clone()).collect();
    let taken = desk.ports.store.take_feedback(steps).await?;
    let mut again = Vec::new();
    let mut parked = Vec::new();
    for (plan, taken) in plans.into_iter().zip(taken) {
        match taken {
            FeedbackTaken::Kept => plan.kept(desk, tally),
            FeedbackTaken::Known => plan
                .items
                .iter()
                .for_each(|item| tally.count(&*desk.ports.observer, item, FeedbackEnd::Known)),
            FeedbackTaken::Refused if last => {
                let message = plan.applied.map(|applied| applied.before);
                for item in plan.items {
                    parked.push(Plan::park(desk, item, message.as_ref()));
                }
            }
            FeedbackTaken::Refused => again.extend(plan.items),
        }
    }
    if !parked.is_empty() {
        desk.ports
            .store
            .take_feedback(parked.iter().map(|plan| plan.step.clone()).collect())
            .await?;
        for plan in parked {
            plan.kept(desk, tally);
        }
    }
    Ok(again)
}

/// A batch of events by message.
struct Sorted {
    groups: Vec<Group>,
    /// Plans for events without a message.
    plans: Vec<Plan>,
}

/// A message with its events, in the order of arrival.
struct Group {
    message: MessageRecord,
    items: Vec<Item>,
}

impl Group {
    fn new(message: MessageRecord) -> Self {
        Self {
            message,
            items: Vec::new(),
        }
    }
}

/// Finds the message of each event: by our ids, by the id of the provider, or by recipient and time.
async fn sort(desk: &Desk, items: Vec<Item>, tally: &mut FeedbackTally) -> Result<Sorted, StoreError> {
    let events: Vec<Event> = items.iter().map(|item| item.record.event.clone()).collect();
    let targets = desk.ports.store.feedback_targets(&events).await?;
    let mut groups: Vec<Group> = targets.messages.into_iter().map(Group::new).collect();
    let mut indices: BTreeMap<_, usize> = groups
        .iter()
        .enumerate()
        .map(|(index, group)| (group.message.message.id, index))
        .collect();
    let mut plans = Vec::new();
    for (mut item, target) in items.into_iter().zip(targets.of) {
        match target {
            Target::Known => tally.count(&*desk.ports.observer, &item, FeedbackEnd::Known),
            Target::Message(index, attempt) => {
                item.record.attempt_id = attempt;
                if let Some(group) = groups.get_mut(index) {
                    group.items.push(item);
                }
            }
            Target::Nobody => {
                if let Some((message, attempt)) = matching::by_recipient_and_time(desk, &item).await? {
                    item.record.attempt_id = Some(attempt);
                    let index = *indices.entry(message.message.id).or_insert_with(|| {
                        groups.push(Group::new(message));
                        groups.len() - 1
                    });
                    groups[index].items.push(item);
                } else {
                    parked::give_up_on_recipient(desk, &item).await?;
                    plans.push(Plan::park(desk, item, None));
                }
            }
        }
    }
    groups.retain(|group| !group.items.is_empty());
    Ok(Sorted { groups, plans })
}

/// The step to store for some events, and what follows when the store has it.
struct Plan {
    step: FeedbackStep,
    items: Vec<Item>,
    applied: Option<Applied>,
}

/// A message before and after its new events.
struct Applied {
    before: MessageRecord,
    after: MessageRecord,
    new: Vec<EventRecord>,
}

impl Plan {
    fn park(desk: &Desk, item: Item, message: Option<&MessageRecord>) -> Self {
        let parked = parked::parked(desk, &item, message);
        Self {
            step: FeedbackStep::Park(Box::new(parked)),
            items: vec![item],
            applied: None,
        }
    }

    async fn apply(desk: &Desk, before: MessageRecord, items: Vec<Item>) -> Result<Self, StoreError> {
        let new: Vec<EventRecord> = items.iter().map(|item| item.record.clone()).collect();
        let mut with_new = before.clone();
        with_new.events.extend(new.iter().cloned());
        let now = desk.now();
        let after = fate::reported(&with_new, now);
        let mut says = Says::default();
        let mut undo = Vec::new();
        for record in &new {
            says.hear(record, Some(&before), &before.message.tenant);
            undo.extend(desk.judge_report(record, &before).await?);
        }
        let mut step = step_between(desk, &before, &after, &new);
        step.list_notices = desk.notices.of_list(&says);
        (step.suppress, step.lift, step.undo) = (says.suppress, says.lift, undo);
        Ok(Self {
            step: FeedbackStep::Apply(Box::new(step)),
            items,
            applied: Some(Applied { before, after, new }),
        })
    }

    /// The store has the step: counts the events, and tells rates, parking and queue.
    fn kept(self, desk: &Desk, tally: &mut FeedbackTally) {
        let end = if self.applied.is_some() {
            FeedbackEnd::Applied
        } else {
            FeedbackEnd::Parked
        };
        for item in &self.items {
            tally.count(&*desk.ports.observer, item, end);
        }
        if let FeedbackStep::Apply(step) = &self.step {
            step.undo.iter().for_each(|undo| desk.undo_decided(undo));
        }
        match (self.applied, self.step) {
            (Some(applied), _) => applied.tell(desk),
            (None, FeedbackStep::Park(parked)) => desk.parking.note(&parked),
            (None, FeedbackStep::Apply(_)) => {}
        }
    }
}

impl Applied {
    fn tell(&self, desk: &Desk) {
        let (before, after) = (&self.before, &self.after);
        desk.rates.events(before, &self.new);
        desk.count_settled_cost(before, after);
        for (was, is) in before.attempts.iter().zip(&after.attempts) {
            if was.outcome != AttemptOutcome::Accepted && is.outcome == AttemptOutcome::Accepted {
                let recipients = is.recipients.count(after.recipients.len());
                desk.rates.accepted(&after.message, is, recipients.into());
            }
        }
        if before.status != after.status {
            tracing::info!(message_id = %after.message.id, from = %before.status, to = %after.status, "feedback");
        }
        if after.work != before.work && !after.has_ended() {
            desk.queue.wake();
        }
    }
}
