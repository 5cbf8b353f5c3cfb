//! Rules that every implementation shares: who may write to a message, and which moves are legal.
//!
//! **The fence.** A message has a token, an owner while a process works on it, and the mark of the last step that
//! was recorded. [`judge`] is the one place that decides about a step:
//!
//! 1. A step that is the last one again (same process, same content: same mark) was written before, its answer
//!    was lost. It is answered as done and writes nothing, with one exception: a step that leaves the message
//!    under way is only good while this process still owns it, because a provider is called on the
//!    strength of it. So a process whose intent was committed unseen and then taken from it is refused.
//! 2. Else the token must be the step's, and the owner must be this process or nobody.
//! 3. A process that may not send writes only to messages that nobody works on, and leaves them so.
//! 4. The status must be one that may follow, as both are [kept].
//!
//! What belongs to this process keeps its token; what belonged to nobody gets the next one, so that of two who
//! read the same state one is refused. Whatever else changes hands (a claim, a recovery, a message given back)
//! gets the next token too. All of this happens under the row's lock, in the transaction of the step.

use std::hash::{DefaultHasher, Hash, Hasher};

use ums_core::{
    ActRecord, AttemptRecord, EventRecord, Failure, Lift, ListNotice, Notice, Purpose, RecipientRecord, RefusedRecipient, SettledBy, Skip,
    Status, Step, StoreError, Suppression, Undo, Work,
};

use crate::kept;

/// Lanes in the order in which they are served.
pub(crate) const LANES: [Purpose; 3] = [Purpose::Otp, Purpose::Transactional, Purpose::Bulk];

/// The lane of a purpose: its place in [`LANES`].
pub(crate) const fn lane(purpose: Purpose) -> u8 {
    match purpose {
        Purpose::Otp => 0,
        Purpose::Transactional => 1,
        Purpose::Bulk => 2,
    }
}

/// This process, as a write sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    /// Its registration.
    pub(crate) owner: i64,
    /// Whether it may work on messages.
    pub(crate) may_send: bool,
}

/// What the fence has to know of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// As it is [kept].
    pub(crate) status: Status,
    /// The process that works on it.
    pub(crate) owner: Option<i64>,
    pub(crate) token: i64,
    /// Of the last step.
    pub(crate) mark: Option<i64>,
}

/// What follows for a step that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// It is to be written, and the message has this owner and token after it.
    Write { owner: Option<i64>, token: i64 },
    /// It was written before; nothing is to be done.
    Repeated,
}

/// A rule that decides about a step: [`judge`] or [`judge_feedback`].
pub(crate) type Judge = fn(&Standing, Process, &Step, i64) -> Result<Leave, StoreError>;

/// Decides about a step of a process, by the rules in the head of this file.
pub(crate) fn judge(standing: &Standing, process: Process, step: &Step, mark: i64) -> Result<Leave, StoreError> {
    let is_mine = standing.owner == Some(process.owner);
    let goes_on = step.work == Work::InHand;
    if standing.mark == Some(mark) {
        // When it took the message from nobody it raised the token by one; nothing else raises it by one
        // and leaves the message with its owner.
        let unchanged = is_mine && (standing.token == step.token || standing.token == step.token + 1);
        return if goes_on && !unchanged {
            Err(StoreError::Fenced)
        } else {
            Ok(Leave::Repeated)
        };
    }
    let is_nobodys = standing.owner.is_none();
    let may_write = if process.may_send {
        is_mine || is_nobodys
    } else {
        is_nobodys && !goes_on
    };
    if standing.token != step.token || !may_write {
        return Err(StoreError::Fenced);
    }
    check_move(standing.status, kept::status_of(step.status, step.work))?;
    Ok(Leave::Write {
        owner: goes_on.then_some(process.owner),
        token: standing.token + i64::from(is_nobodys),
    })
}

/// Decides about a step that feedback makes: as [`judge`], but never while anybody works on the message, this process included.
pub(crate) fn judge_feedback(standing: &Standing, process: Process, step: &Step, mark: i64) -> Result<Leave, StoreError> {
    if standing.owner.is_some() {
        return Err(StoreError::Fenced);
    }
    judge(standing, process, step, mark)
}

/// The mark by which a step of a process is known again. Only that process repeats it, soon after, so the
/// hash need not be the same in another build.
pub(crate) fn mark(owner: i64, step: &Step) -> i64 {
    let Step {
        tenant: _,
        message_id: _,
        // As the message's own.
        occasion: _,
        token,
        attempts,
        skips,
        status,
        error,
        work,
        sent_at,
        delivered_at,
        recipients,
        act,
        expires_at,
        forget_body,
        forget_body_at,
        events,
        suppress,
        lift,
        undo,
        notices,
        list_notices,
    } = step;
    let mut hasher = DefaultHasher::new();
    (owner, token, status.as_str(), error, sent_at).hash(&mut hasher);
    (*work == Work::InHand, work.due_at()).hash(&mut hasher);
    (delivered_at, expires_at, forget_body, forget_body_at).hash(&mut hasher);
    mark_aftermath((events, suppress, lift), &mut hasher);
    mark_notices(notices, list_notices, &mut hasher);
    hasher.write_usize(undo.len());
    for Undo {
        provider,
        account,
        reason,
        origin,
        since,
        until,
        at,
    } in undo
    {
        (provider.as_str(), account, reason.as_str(), origin.as_str(), since, until, at).hash(&mut hasher);
    }
    hasher.write_usize(attempts.len());
    for attempt in attempts {
        mark_attempt(attempt, &mut hasher);
    }
    hasher.write_usize(skips.len());
    for Skip {
        provider,
        account,
        at,
        reason,
        detail,
    } in skips
    {
        (provider.as_str(), account, at, reason.as_str(), detail).hash(&mut hasher);
    }
    hasher.write_usize(recipients.as_ref().map_or(usize::MAX, Vec::len));
    for RecipientRecord {
        address,
        kind,
        status,
        reason,
    } in recipients.iter().flatten()
    {
        (address, kind.as_str(), status.as_str(), reason).hash(&mut hasher);
    }
    if let Some(ActRecord { at, kind, detail }) = act {
        (at, kind.as_str(), detail).hash(&mut hasher);
    }
    i64::from_ne_bytes(hasher.finish().to_ne_bytes())
}

fn mark_aftermath((events, suppress, lift): (&[EventRecord], &[Suppression], &[Lift]), hasher: &mut impl Hasher) {
    hasher.write_usize(events.len());
    for EventRecord {
        event,
        received_at,
        attempt_id,
    } in events
    {
        // Its id stands for what it says.
        (event.provider.as_str(), &event.account, &event.id, received_at, attempt_id).hash(hasher);
    }
    hasher.write_usize(suppress.len());
    for Suppression {
        tenant,
        channel,
        address,
        reason,
        list,
        origin,
        provider,
        account,
        message_id,
        detail,
        since,
        expires_at,
        lifted_at,
    } in suppress
    {
        (tenant, channel.as_str(), address, reason.as_str(), list, origin.as_str()).hash(hasher);
        (provider.map(ums_core::ProviderKind::as_str), account, message_id, detail).hash(hasher);
        (since, expires_at, lifted_at).hash(hasher);
    }
    hasher.write_usize(lift.len());
    for Lift {
        tenant,
        channel,
        address,
        reason,
        list,
        at,
    } in lift
    {
        (tenant, channel.as_str(), address, reason.as_str(), list, at).hash(hasher);
    }
}

fn mark_notices(notices: &[Notice], of_list: &[ListNotice], hasher: &mut impl Hasher) {
    hasher.write_usize(notices.len());
    for notice in notices.iter().chain(of_list.iter().map(|one| &one.notice)) {
        // Their ids are made anew for each step.
        (notice.id, notice.endpoint).hash(hasher);
    }
}

fn mark_attempt(attempt: &AttemptRecord, hasher: &mut impl Hasher) {
    let AttemptRecord {
        id,
        provider,
        account,
        called_at,
        outcome,
        class,
        code,
        detail,
        duration_ms,
        provider_message_id,
        simulated,
        from_substituted,
        cost_micros,
        price_micros,
        reported,
        recipients,
        refused,
        settled_by,
        unknown_until,
    } = attempt;
    (id, provider.as_str(), account, called_at, outcome).hash(hasher);
    (class.map(ums_core::FailureClass::as_str), code, detail, duration_ms).hash(hasher);
    (provider_message_id, simulated, from_substituted, cost_micros, price_micros).hash(hasher);
    (
        reported.map(Status::as_str),
        recipients,
        settled_by.map(SettledBy::as_str),
        unknown_until,
    )
        .hash(hasher);
    hasher.write_usize(refused.len());
    for RefusedRecipient { place, failure } in refused {
        let Failure {
            class,
            code,
            detail,
            retry_after,
            // The refusal of one recipient has none of its own.
            refusals: _,
            source,
        } = failure;
        (place, class.as_str(), code, detail, retry_after, source.as_str()).hash(hasher);
    }
}

/// Refuses a step to a status that cannot follow; a message may stay where it is.
pub(crate) fn check_move(from: Status, to: Status) -> Result<(), StoreError> {
    if from == to || from.may_become(to) {
        Ok(())
    } else {
        Err(StoreError::IllegalMove { from, to })
    }
}
