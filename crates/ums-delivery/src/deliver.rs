//! 2. One message along the chain of its channel, until every recipient has an end or is held.
//!
//! **Invariant:** the intent to call a provider is committed before its first byte is written, and
//! no transaction is open during the call.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{
    AttemptId, Body, Content, MessageRecord, MustNotContact, NotCalled, RecipientSet, Status, StoreError, SuppressionOrigin, Timestamp,
    failpoint,
};

use crate::breaker::Now;
use crate::call::call;
use crate::carried::Carried;
use crate::chain::{Link, Routed, Slot, Walk};
use crate::desk::Desk;
use crate::drain::Progress;
use crate::fate::{self, Answer, Happened, Intent, Next, Search, Stopped};
use crate::in_hand::Held;
use crate::journal::{Journal, is_final};
use crate::lease::Term;
use crate::memory::{COPIES_IN_CALL, Share};
use crate::observer::SettledEvent;

/// How long an intent may take to be kept, while its slot waits. After it the provider is left alone and the message put back.
const INTENT_PATIENCE: Duration = Duration::from_secs(2);
/// How long a message waits whose content the store does not give.
const UNREAD_WAIT: Duration = Duration::from_secs(5);
const CONTENT_LOST: Stopped = Stopped {
    status: Status::Failed,
    reason: "content_lost",
    detail: "the store has its body no more, or cannot read it",
};

/// A message in hand: its record, its walk along the chain, and a slot for the first call if there is one.
#[derive(Debug)]
pub(crate) struct Work<M> {
    pub(crate) record: MessageRecord,
    pub(crate) walk: Walk,
    /// With a slot its intent is committed already.
    pub(crate) slot: Option<Slot<M>>,
    /// The term of the lease that it was taken in hand under, read before the store was asked.
    pub(crate) term: Term,
    pub(crate) held: Held,
    /// The memory of its call; empty for a claimed message, which takes its share before it looks for a provider.
    pub(crate) memory: Share,
}

/// How far a delivery came.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) record: MessageRecord,
    /// Whether the store has it so. If not, the store alone knows where the message stands.
    pub(crate) kept: bool,
    pub(crate) progress: Progress,
}

/// Delivers a message: find a provider, commit the intent, call the provider, have the answer decided, commit.
pub(crate) async fn deliver<M: Routed>(desk: &Desk, work: Work<M>) -> Delivered {
    let (term, held) = (work.term, work.held);
    let mut delivery = Delivery::new(desk, work.record, work.walk, term, work.memory);
    let mut next = match work.slot {
        Some(slot) => delivery.call(slot).await,
        None => delivery.take_up(),
    };
    let kept = loop {
        next = match next {
            Next::Provider(recipients) => delivery.find_provider(recipients).await,
            Next::SameProvider(recipients) => delivery.stay(recipients).await,
            Next::Call => match delivery.commit_intent().await {
                Ok(Some(slot)) => delivery.call(slot).await,
                Ok(None) => delivery.next,
                Err(_) => break false,
            },
            Next::Wait | Next::End => break delivery.commit().await,
        };
    };
    drop(held);
    delivery.finish(kept)
}

/// A delivery under way.
struct Delivery<'a, M> {
    desk: &'a Desk,
    journal: Journal<'a>,
    walk: Walk,
    term: Term,
    memory: Share,
    /// The provider that has room for the message, whose intent is in the journal.
    slot: Option<Slot<M>>,
    /// The provider that was called last.
    link: Option<Arc<Link<M>>>,
    /// The whole content of a message whose record carries only the envelope, once it is loaded.
    loaded: Option<Content>,
    /// What follows when an intent was withdrawn.
    next: Next,
    /// Whether the message goes back to the queue without a call.
    put_back: bool,
}

impl<'a, M: Routed> Delivery<'a, M> {
    fn new(desk: &'a Desk, record: MessageRecord, walk: Walk, term: Term, memory: Share) -> Self {
        Self {
            desk,
            journal: Journal::new(desk, record),
            walk,
            term,
            memory,
            slot: None,
            link: None,
            loaded: None,
            next: Next::Wait,
            put_back: false,
        }
    }

    /// The message has no intent yet: who may be tried now, and whether another round may be paid for.
    fn take_up(&mut self) -> Next {
        let next = self.journal.happened(Happened::Due);
        let Next::Provider(_) = next else { return next };
        if !fate::was_called(&self.journal.record) {
            return next;
        }
        match M::chain(&self.desk.chains).pay_for_retry(&mut self.walk) {
            Ok(()) => next,
            Err(wait) => self.journal.happened(Happened::PutOff(wait)),
        }
    }

    /// Finds the next provider for these recipients; its intent is in the journal then. Without one they are held, or end.
    async fn find_provider(&mut self, recipients: RecipientSet) -> Next {
        if !self.has_memory().await {
            return self.put_back();
        }
        let record = &self.journal.record;
        self.walk.carry(recipients.count(record.recipients.len()));
        let is_in_time = record.message.expires_at > self.desk.now();
        let chain = M::chain(&self.desk.chains);
        let listed_at = |link: &Link<M>| fate::unsubscribed_at(record, link.kind, &link.account);
        chain.pass_over_unsubscribed(&mut self.walk, |link| recipients.without(listed_at(link)).is_empty());
        let slot = if is_in_time {
            tokio::select! {
                biased;
                slot = chain.next(&mut self.walk) => slot,
                () = self.desk.ports.ended.cancelled() => return self.put_back(),
            }
        } else {
            None
        };
        for skip in self.walk.skips.drain(..) {
            if fate::is_news(&self.journal.record, &skip) {
                self.journal.record.skips.push(skip);
            }
        }
        let Some(mut slot) = slot else {
            return self.journal.happened(Happened::NoSlot(Search {
                soonest: self.walk.soonest,
                paced: self.walk.paced,
                providers: chain.links.len(),
                chance: self.desk.ports.random.unit(),
            }));
        };
        let record = &self.journal.record;
        let recipients = recipients.without(fate::unsubscribed_at(record, slot.link.kind, &slot.link.account));
        slot.shrink(recipients.count(record.recipients.len()), self.desk.ports.clock.monotonic());
        let intent = intent(self.desk, &slot, record, recipients);
        self.slot = Some(slot);
        self.journal.happened(Happened::Slot(intent))
    }

    /// Waits for the memory of a call, before anything of a provider is in hand: messages that wait for memory keep no slot from small ones.
    /// Whether there is memory before this process ends.
    async fn has_memory(&mut self) -> bool {
        if self.memory.is_empty() {
            let body_bytes = body_bytes(&self.journal.record);
            tokio::select! {
                biased;
                share = self.desk.memory.share(body_bytes, COPIES_IN_CALL) => self.memory = share,
                () = self.desk.ports.ended.cancelled() => return false,
            }
        }
        true
    }

    /// This process ends; another one takes the message up, and looks for a provider again.
    fn put_back(&mut self) -> Next {
        self.put_back = true;
        self.journal.happened(Happened::Closing)
    }

    /// The provider that was called last takes these recipients in its next transaction. Their room in its pace is in hand since the call
    /// before.
    async fn stay(&mut self, recipients: RecipientSet) -> Next {
        let now = Now::read(&*self.desk.ports.clock);
        let units = recipients.count(self.journal.record.recipients.len());
        let slot = self.link.as_ref().and_then(|link| link.admit_again(units, now));
        let Some(slot) = slot else {
            if let Some(link) = &self.link {
                link.pacer.refund(units, now.mono);
            }
            return self.find_provider(recipients).await;
        };
        let intent = intent(self.desk, &slot, &self.journal.record, recipients);
        self.slot = Some(slot);
        self.journal.happened(Happened::Slot(intent))
    }

    /// Commits the intent, together with the outcome of the call before it, and gives its slot. None when the provider must not be called
    /// after all: [`Delivery::next`] says what follows.
    ///
    /// # Errors
    /// The store's last word: the message belongs to somebody else, or this process ends.
    async fn commit_intent(&mut self) -> Result<Option<Slot<M>>, StoreError> {
        let Some(mut slot) = self.slot.take() else {
            self.next = Next::Wait;
            return Ok(None);
        };
        let now = || self.desk.ports.clock.monotonic();
        if let Err(error) = self.load_content().await {
            slot.release(now());
            self.next = self.without_content(&error);
            return Ok(None);
        }
        loop {
            match self.journal.commit(Some(INTENT_PATIENCE)).await {
                Ok(()) => {
                    self.committed();
                    return Ok(Some(slot));
                }
                Err(StoreError::MustNotContact(found)) if self.leave_out(&found) => {
                    if self.next != Next::Call {
                        slot.release(now());
                        return Ok(None);
                    }
                    slot.shrink(self.called_for().count(self.journal.record.recipients.len()), now());
                }
                Err(error) => {
                    slot.release(now());
                    if is_final(&error) {
                        return Err(error);
                    }
                    self.next = self.not_called(NotCalled::IntentLate);
                    return Ok(None);
                }
            }
        }
    }

    /// Loads the whole content of a message whose record carries only the envelope: before the intent, so that nothing is to be withdrawn
    /// from the store when the store fails.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a body that is gone.
    async fn load_content(&mut self) -> Result<(), StoreError> {
        let message = &self.journal.record.message;
        match self.journal.record.body() {
            Body::Here(_) => Ok(()),
            Body::Forgotten => Err(StoreError::NotFound),
            Body::Apart { .. } if self.loaded.is_some() => Ok(()),
            Body::Apart { .. } => {
                let content = self.desk.ports.store.content(&message.tenant, message.id).await?;
                self.loaded = Some(content.filter(Content::has_body).ok_or(StoreError::NotFound)?);
                Ok(())
            }
        }
    }

    /// What follows when the content cannot be loaded. A content that is lost ends the message; else the message waits a moment.
    fn without_content(&mut self, error: &StoreError) -> Next {
        tracing::error!(message_id = %self.journal.record.message.id, %error, "the content of a message cannot be read");
        let is_lost = matches!(error, StoreError::NotFound | StoreError::Corrupt { .. });
        self.journal.happened(if is_lost {
            Happened::Stopped(CONTENT_LOST)
        } else {
            Happened::PutOff(UNREAD_WAIT)
        })
    }

    /// Leaves out recipients who must not be contacted; whether there were any.
    fn leave_out(&mut self, found: &[MustNotContact]) -> bool {
        let before = self.journal.record.open_recipients();
        for found in found {
            self.next = self.journal.happened(Happened::OptedOut(&found.entries));
        }
        self.journal.record.open_recipients() != before
    }

    /// The recipients of the attempt in hand.
    fn called_for(&self) -> RecipientSet {
        self.journal
            .record
            .attempts
            .last()
            .map_or(RecipientSet::NOBODY, |attempt| attempt.recipients)
    }

    /// Calls the provider whose intent is committed, unless it must not be called any more.
    async fn call(&mut self, slot: Slot<M>) -> Next {
        let recipients = self.called_for();
        if let Some(why) = self.must_not_call() {
            slot.release(self.desk.ports.clock.monotonic());
            return self.not_called(why);
        }
        let record = &self.journal.record;
        let whole = match record.body() {
            Body::Here(content) => Some(content),
            Body::Apart { .. } | Body::Forgotten => self.loaded.as_ref(),
        };
        let Some(content) = whole.and_then(|whole| M::for_recipients(whole, record, recipients)) else {
            slot.release(self.desk.ports.clock.monotonic());
            return self.not_called(NotCalled::IntentLate);
        };
        self.link = Some(slot.link.clone());
        failpoint::pass("intent.committed");
        let answer = call(&self.desk.ports, &self.journal.record, &*content, slot).await;
        failpoint::pass("call.answered");
        if answer.result.is_err() {
            self.walk.call_failed();
            self.undo_if_systemic(answer.at);
        }
        let next = self.journal.happened(Happened::CallEnded(&answer));
        self.count_accepted(&answer);
        next
    }

    /// A refusal may be the provider's own fault, by this answer or by one that came while the call was out. What such refusals bring onto the
    /// suppression list is undone by the step that keeps the outcome. An outcome whose step is written already when the fault is found is
    /// undone by housekeeping.
    fn undo_if_systemic(&mut self, refused_at: Timestamp) {
        let Some(link) = &self.link else { return };
        let account = (link.kind, &link.account);
        if let Some(undo) = link.rejections.undo(account, SuppressionOrigin::Refusal, refused_at) {
            self.journal.undo(undo);
        }
    }

    /// Why no provider may be called by this process now although the intent is committed.
    fn must_not_call(&self) -> Option<NotCalled> {
        let ports = &self.desk.ports;
        if ports.ended.is_cancelled() {
            Some(NotCalled::Closing)
        } else if !self.desk.lease.covers_term(ports.clock.monotonic(), self.term) {
            Some(NotCalled::LeaseLost)
        } else if self.journal.record.message.expires_at <= self.desk.now() {
            Some(NotCalled::Expired)
        } else {
            None
        }
    }

    fn not_called(&mut self, why: NotCalled) -> Next {
        self.put_back = true;
        self.journal.happened(Happened::NotCalled(why))
    }

    /// Counts for whom the provider took the message, if it did.
    fn count_accepted(&self, answer: &Answer) {
        let record = &self.journal.record;
        if let (Ok(_), Some(attempt)) = (&answer.result, record.attempts.last()) {
            let recipients = attempt.recipients.count(record.recipients.len());
            self.desk.rates.accepted(&record.message, attempt, recipients.into());
            self.desk.count_cost(record.message.content.channel(), attempt.cost_micros);
        }
    }

    /// Commits where the message stands now; whether the store has it.
    async fn commit(&mut self) -> bool {
        let kept = self.journal.commit(None).await.is_ok();
        if kept {
            self.committed();
        }
        kept
    }

    fn committed(&self) {
        if self.link.is_some() {
            failpoint::pass("outcome.committed");
        }
    }

    /// The message is in hand no more.
    fn finish(self, kept: bool) -> Delivered {
        let record = self.journal.record;
        self.desk.parking.release(record.message.id);
        if kept {
            tell_result(self.desk, &record);
            if !record.has_ended() && !self.put_back {
                self.desk.queue.wake();
            }
        }
        Delivered {
            record,
            kept,
            progress: self.journal.progress,
        }
    }
}

/// Bytes of a body, here or in the store.
fn body_bytes(record: &MessageRecord) -> usize {
    match record.body() {
        Body::Here(content) => content.bytes(),
        Body::Apart { bytes } => bytes,
        Body::Forgotten => 0,
    }
}

/// The intent to call the provider of a slot for these recipients.
pub(crate) fn intent<M: Carried>(desk: &Desk, slot: &Slot<M>, record: &MessageRecord, recipients: RecipientSet) -> Intent {
    let content = M::of(&record.message.content);
    Intent {
        price_micros: content.and_then(|content| slot.link.price.of_each(content)),
        id: AttemptId::new(&*desk.ports.clock, &*desk.ports.random),
        provider: slot.link.kind,
        account: slot.link.account.clone(),
        recipients,
    }
}

/// Tells whoever counts that a message has an outcome, or is held.
fn tell_result(desk: &Desk, record: &MessageRecord) {
    let costs = record.attempts.iter().filter_map(|attempt| attempt.cost_micros);
    let cost_micros = costs.reduce(i64::saturating_add);
    let (message, status, channel) = (record.message.id, record.status, record.message.content.channel());
    let open = record.open_recipients().count(record.recipients.len());
    tracing::info!(message_id = %message, %channel, %status, open, attempts = record.attempts.len(), cost_micros, "settled");
    desk.ports.observer.settled(&SettledEvent {
        channel,
        status,
        possibly_duplicate: record.may_have_arrived_twice(),
    });
}
