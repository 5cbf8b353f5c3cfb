//! Failed messages are sent again after an outage, one slice at a time.
//!
//! Nothing is remembered between slices: a message that was replayed is not `failed` any more, so a replay that was stopped is begun
//! anew with the same request. Slices go from the newest message to the oldest; what is replayed is due since it was accepted, so that
//! the queue takes the oldest first.

use ums_core::{Content, Email, MessageFilter, MessageId, MessageRecord, Sms, Status, StoreError, TenantId, Timestamp};

use crate::acts::{ActError, record_act};
use crate::chain::Routed;
use crate::desk::Desk;
use crate::fate::Act;
use crate::gates;
use crate::memory::COPIES_TO_READ;

/// Messages to the same recipient that are read at once in the search for a later one that says the same.
const TWINS: usize = 100;

/// Which failed messages are sent again after an outage.
#[derive(Clone, Debug)]
pub struct ReplayRequest {
    /// Which; its status is `failed` whatever is said.
    pub filter: MessageFilter,
    /// Where the slice before ended.
    pub cursor: Option<MessageId>,
    /// Most messages that are looked at in this slice.
    pub limit: usize,
    /// Only says what would be done.
    pub dry_run: bool,
}

/// What one slice of a replay did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplaySlice {
    /// Messages that were looked at.
    pub examined: u64,
    /// Messages that are sent again.
    pub replayed: u64,
    /// Left out: their time ran out.
    pub expired: u64,
    /// Left out: the recipient is not to be contacted.
    pub suppressed: u64,
    /// Left out: the same was sent to the same recipient later, or stands in this replay already.
    pub duplicates: u64,
    /// Left out: their body is no longer kept.
    pub without_body: u64,
    /// Estimated cost in millionths of a US dollar, of those whose price is known.
    pub cost_micros: i64,
    /// Messages that are sent again and whose price is not known.
    pub without_price: u64,
    /// When the newest message of this slice was accepted.
    pub reached: Option<Timestamp>,
    /// Where the next slice begins; none at the end.
    pub next_cursor: Option<MessageId>,
}

/// Sends failed messages again, one slice at a time.
pub(crate) async fn replay(desk: &Desk, tenant: &TenantId, request: &ReplayRequest) -> Result<ReplaySlice, ActError> {
    let filter = MessageFilter {
        status: Some(Status::Failed),
        ..request.filter.clone()
    };
    let limit = request.limit.max(1);
    let page = desk.ports.store.messages(tenant, &filter, request.cursor, limit).await?;
    let mut slice = ReplaySlice {
        reached: page.messages.first().map(|record| record.message.accepted_at),
        next_cursor: page.next_cursor,
        ..ReplaySlice::default()
    };
    for record in page.messages.into_iter().rev() {
        slice.examined += 1;
        consider(desk, &filter, &record, request.dry_run, &mut slice).await?;
    }
    if slice.replayed > 0 && !request.dry_run {
        desk.queue.wake();
    }
    Ok(slice)
}

/// Counts the message where it belongs, and has it sent again unless it is left out.
async fn consider(
    desk: &Desk,
    filter: &MessageFilter,
    record: &MessageRecord,
    dry_run: bool,
    slice: &mut ReplaySlice,
) -> Result<(), ActError> {
    let content = &record.message.content;
    if !record.has_ended() {
        // Its first recipient has failed, and others are still tried.
        return Ok(());
    }
    if record.message.expires_at <= desk.now() {
        slice.expired += 1;
    } else if !record.has_body() {
        slice.without_body += 1;
    } else if is_stopped(desk, content) || is_listed(desk, record).await? {
        slice.suppressed += 1;
    } else if has_later_twin(desk, filter, record).await? {
        slice.duplicates += 1;
    } else {
        let cost = match content {
            Content::Email(_) => cost::<Email>(desk, record),
            Content::Sms(_) => cost::<Sms>(desk, record),
        };
        if dry_run || send_again(desk, record).await? {
            slice.replayed += 1;
            match cost {
                Some(cost) => slice.cost_micros = slice.cost_micros.saturating_add(cost),
                None => slice.without_price += 1,
            }
        }
    }
    Ok(())
}

/// Whether the suppression list bars the message for its first recipient, on whom all depends.
async fn is_listed(desk: &Desk, record: &MessageRecord) -> Result<bool, StoreError> {
    let first = record.recipients.first().map(|recipient| recipient.address.clone());
    let (tenant, channel) = (&record.message.tenant, record.message.content.channel());
    let listed = desk.ports.store.suppressed(tenant, channel, first.as_slice(), desk.now()).await?;
    let occasion = record.message.handling.occasion();
    Ok(listed.iter().any(|entry| entry.bars(&occasion)))
}

/// Queues the message; not when somebody did something to it meanwhile.
async fn send_again(desk: &Desk, record: &MessageRecord) -> Result<bool, ActError> {
    match record_act(desk, record, Act::Replay).await {
        Ok(()) => Ok(true),
        // A message whose first recipient failed may still be worked on for the others.
        Err(ActError::NotPossible { .. } | ActError::Store(StoreError::Fenced | StoreError::NotFound | StoreError::IllegalMove { .. })) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn is_stopped(desk: &Desk, content: &Content) -> bool {
    gates::check(&desk.rules, content, desk.chains.are_local_for(content)).is_some()
}

/// Whether the same was said to the same recipient in a later message that went out, will go out, or is part of this replay.
async fn has_later_twin(desk: &Desk, filter: &MessageFilter, record: &MessageRecord) -> Result<bool, StoreError> {
    let message = &record.message;
    let twins = MessageFilter {
        to: record.recipients.first().map(|recipient| recipient.address.clone()),
        channel: Some(message.content.channel()),
        since: Some(message.accepted_at),
        ..MessageFilter::default()
    };
    let mut cursor = None;
    loop {
        let page = desk.ports.store.messages(&message.tenant, &twins, cursor, TWINS).await?;
        let later = page.messages.iter().filter(|other| other.message.id > message.id);
        for other in later.filter(|other| counts_as_sent(desk, filter, other)) {
            if says_the_same(desk, record, other).await? {
                return Ok(true);
            }
        }
        cursor = page.next_cursor.filter(|next| *next > message.id);
        if cursor.is_none() {
            return Ok(false);
        }
    }
}

/// Whether two messages have one content. Envelopes that differ tell it; large contents with equal ones are compared whole.
async fn says_the_same(desk: &Desk, one: &MessageRecord, other: &MessageRecord) -> Result<bool, StoreError> {
    if one.apart != other.apart || one.message.content != other.message.content {
        return Ok(false);
    }
    let Some(bytes) = one.apart else { return Ok(true) };
    let _memory = desk.memory.share(bytes, 2 * COPIES_TO_READ).await;
    let store = &desk.ports.store;
    let first = store.content(&one.message.tenant, one.message.id).await?;
    Ok(first == store.content(&other.message.tenant, other.message.id).await?)
}

fn counts_as_sent(desk: &Desk, filter: &MessageFilter, twin: &MessageRecord) -> bool {
    match twin.status {
        Status::Pending | Status::Scheduled | Status::Queued | Status::Sending | Status::Sent | Status::Delivered | Status::Unknown => true,
        Status::Failed => {
            let message = &twin.message;
            let asked_for = filter.until.is_none_or(|until| message.accepted_at < until)
                && filter.purpose.is_none_or(|purpose| message.handling.purpose == purpose)
                && filter
                    .provider
                    .is_none_or(|provider| twin.attempts.iter().any(|attempt| attempt.provider == provider));
            asked_for && message.expires_at > desk.now()
        }
        Status::Bounced | Status::Expired | Status::Cancelled | Status::Suppressed | Status::Unsubscribed => false,
    }
}

/// What the first provider that may carry it takes for it.
fn cost<M: Routed>(desk: &Desk, record: &MessageRecord) -> Option<i64> {
    let content = M::of(&record.message.content)?;
    let via = record.message.handling.via;
    let first = M::chain(&desk.chains)
        .links
        .iter()
        .find(|link| via.is_none_or(|via| via == link.kind))?;
    let each = first.price.of_each(content)?;
    Some(each.saturating_mul(i64::from(content.recipients())))
}
