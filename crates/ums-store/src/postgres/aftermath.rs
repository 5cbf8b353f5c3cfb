//! What stands beside the messages: feedback, suppressions, notices, rates, switches of providers.
//!
//! Only here: each method takes a connection, and says what is known of its transaction when that breaks.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use ums_core::{
    AccountId, Channel, Endpoint, EndpointId, EndpointUpdate, Event, FeedbackStep, FeedbackStore, FeedbackTaken, Lift, ListNotice,
    MessageRecord, Notice, NoticeFilter, NoticeId, NoticeOutcome, NoticePage, OutboxStore, Parked, ProviderKind, ProviderStore,
    ProviderSwitch, RateRow, RateStore, StoreError, Suppression, SuppressionCursor, SuppressionFilter, SuppressionPage, SuppressionStore,
    SwitchedOff, Targets, TenantId, Timestamp, Undone,
};

use super::connection::{Fault, Session, within};
use super::suppressions::Changes;
use super::{
    PostgresStore, attempts, cursors, endpoints, events, feedback, messages, notices, rates, suppressions, switches, targets, undos,
};
use crate::plain;

/// How often a transaction is tried when others are in its way.
const TRIES: usize = 8;

/// Reads on a connection. A macro, because what an async closure borrows cannot be said to be `Send` for every lifetime.
macro_rules! look {
    ($store:expr, |$session:ident| $reading:expr) => {{
        let lent = $store.aftermath.take().await?;
        let $session: &Session = &lent;
        let result = within($reading).await;
        lent.read(result)
    }};
}

/// Writes one transaction on a connection, again when others were in its way.
macro_rules! write {
    ($store:expr, |$session:ident| $writing:expr) => {{
        let lent = $store.aftermath.take().await?;
        let $session: &Session = &lent;
        let trying = async {
            for _ in 0..TRIES {
                match $writing.await {
                    // Of a single statement there is nothing to roll back; that is a warning, not a fault.
                    Err(Fault::Busy(_)) => $session.run("ROLLBACK").await?,
                    done => return done,
                }
            }
            Err(Fault::contended())
        };
        let result = within(trying).await;
        lent.wrote(result)
    }};
}

impl PostgresStore {
    /// Takes feedback as one transaction.
    async fn take_together(&self, steps: &[FeedbackStep]) -> Result<Vec<FeedbackTaken>, StoreError> {
        let (owner, now) = (self.owner(), self.desk.clock.now());
        // Boxed: callers would carry its room.
        let taking = async { write!(self, |session| feedback::take(session, owner, now, steps)) };
        Box::pin(taking).await
    }

    async fn take_one(&self, step: FeedbackStep) -> Result<Vec<FeedbackTaken>, StoreError> {
        self.take_together(&[step]).await
    }

    /// Changes the suppression list.
    async fn change(&self, changes: &Changes<'_>) -> Result<Vec<bool>, StoreError> {
        let now = self.desk.clock.now();
        write!(self, |session| async {
            session.run(suppressions::BEGIN_CHANGE).await?;
            let answers = changes.write(session, now).await?;
            session.run("COMMIT").await?;
            Ok(answers)
        })
    }
}

#[async_trait]
impl FeedbackStore for PostgresStore {
    async fn feedback_targets(&self, events: &[Event]) -> Result<Targets, StoreError> {
        look!(self, |session| targets::of(session, events))
    }

    async fn take_feedback(&self, steps: Vec<FeedbackStep>) -> Result<Vec<FeedbackTaken>, StoreError> {
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        let answers = match self.take_together(&steps).await {
            Err(StoreError::RefusedData(_)) => plain::one_by_one(&steps, |step| self.take_one(step)).await?,
            taken => taken?,
        };
        for (step, answer) in steps.iter().zip(&answers) {
            if let (FeedbackStep::Apply(step), FeedbackTaken::Kept) = (step, answer) {
                self.desk.heads.moved(step);
            }
        }
        Ok(answers)
    }

    async fn parked_events(&self, now: Timestamp, limit: usize) -> Result<Vec<Parked>, StoreError> {
        look!(self, |session| events::parked(session, now, limit))
    }

    async fn unknown_attempts_to(
        &self,
        provider: ProviderKind,
        account: &AccountId,
        address: &str,
        called: RangeInclusive<Timestamp>,
        limit: usize,
    ) -> Result<Vec<MessageRecord>, StoreError> {
        let found = look!(self, |session| async {
            let keys = attempts::unknown_to(session, (provider, account), address, &called, limit).await?;
            messages::records(session, &keys, messages::Whole::ButEvents).await
        });
        found?.into_iter().flatten().collect()
    }

    async fn feedback_cursor(&self, source: &str) -> Result<Option<String>, StoreError> {
        look!(self, |session| cursors::read(session, source))
    }

    async fn save_feedback_cursor(&self, source: &str, cursor: &str) -> Result<(), StoreError> {
        write!(self, |session| cursors::save(session, source, cursor))
    }
}

#[async_trait]
impl SuppressionStore for PostgresStore {
    async fn suppressed(
        &self,
        tenant: &TenantId,
        channel: Channel,
        addresses: &[String],
        now: Timestamp,
    ) -> Result<Vec<Suppression>, StoreError> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        // Asked for every message at the door: not beside transactions that wait for the list.
        let session = self.readers.take().await?;
        let result = within(suppressions::in_force(&session, tenant, channel, addresses, now)).await;
        session.read(result)
    }

    async fn suppress(&self, entries: Vec<Suppression>, notices: Vec<ListNotice>) -> Result<Vec<bool>, StoreError> {
        let mut changes = Changes::default();
        changes.add(&entries, &[], &notices);
        self.change(&changes).await
    }

    async fn lift(&self, lifts: Vec<Lift>, notices: Vec<ListNotice>) -> Result<Vec<bool>, StoreError> {
        let mut changes = Changes::default();
        changes.add(&[], &lifts, &notices);
        self.change(&changes).await
    }

    async fn suppressions(
        &self,
        tenant: &TenantId,
        filter: &SuppressionFilter,
        cursor: Option<&SuppressionCursor>,
        now: Timestamp,
        limit: usize,
    ) -> Result<SuppressionPage, StoreError> {
        look!(self, |session| suppressions::page(session, tenant, filter, (cursor, now), limit))
    }

    async fn carry_out_undos(&self, now: Timestamp) -> Result<Undone, StoreError> {
        // Nothing is decided as a rule: nobody is locked out of the list then.
        if look!(self, |session| undos::kept(session))?.is_empty() {
            return Ok(Undone::default());
        }
        write!(self, |session| async {
            session.run(suppressions::BEGIN_CHANGE).await?;
            let undone = undos::again(session, now).await?;
            session.run("COMMIT").await?;
            Ok(undone)
        })
    }
}

#[async_trait]
impl OutboxStore for PostgresStore {
    async fn save_endpoint(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        write!(self, |session| endpoints::save(session, &endpoint))
    }

    async fn change_endpoint(&self, tenant: &TenantId, id: EndpointId, update: EndpointUpdate) -> Result<Option<Endpoint>, StoreError> {
        write!(self, |session| endpoints::change(session, tenant, id, &update))
    }

    async fn forget_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError> {
        write!(self, |session| endpoints::forget(session, tenant, id))
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        look!(self, |session| endpoints::all(session))
    }

    async fn add_notices(&self, notices: Vec<Notice>) -> Result<(), StoreError> {
        let mut rows = notices::Rows::default();
        rows.add(&notices);
        write!(self, |session| notices::add(session, &rows))
    }

    async fn claim_notices(
        &self,
        tenant: &TenantId,
        endpoint: EndpointId,
        now: Timestamp,
        again_at: Timestamp,
        limit: usize,
    ) -> Result<Vec<Notice>, StoreError> {
        write!(self, |session| notices::claim(session, (tenant, endpoint), now, again_at, limit))
    }

    async fn settle_notice(&self, outcome: NoticeOutcome) -> Result<(), StoreError> {
        write!(self, |session| notices::settle(session, &outcome))
    }

    async fn next_notice_due(&self) -> Result<Option<Timestamp>, StoreError> {
        look!(self, |session| notices::next_due(session))
    }

    async fn notices(
        &self,
        tenant: &TenantId,
        filter: &NoticeFilter,
        cursor: Option<NoticeId>,
        limit: usize,
    ) -> Result<NoticePage, StoreError> {
        look!(self, |session| notices::page(session, tenant, filter, cursor, limit))
    }

    async fn requeue_notices(&self, tenant: &TenantId, filter: &NoticeFilter, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        write!(self, |session| notices::requeue(session, tenant, filter, now, limit))
    }
}

#[async_trait]
impl RateStore for PostgresStore {
    async fn add_rates(&self, rows: Vec<RateRow>) -> Result<(), StoreError> {
        write!(self, |session| rates::add(session, &rows))
    }

    async fn rates(&self, since: Timestamp) -> Result<Vec<RateRow>, StoreError> {
        look!(self, |session| rates::since(session, since))
    }
}

#[async_trait]
impl ProviderStore for PostgresStore {
    async fn switch_provider(&self, provider: ProviderKind, account: &AccountId, off: Option<SwitchedOff>) -> Result<(), StoreError> {
        write!(self, |session| switches::switch(session, provider, account, off.as_ref()))
    }

    async fn note_trial(&self, provider: ProviderKind, account: &AccountId, at: Timestamp) -> Result<(), StoreError> {
        write!(self, |session| switches::note_trial(session, provider, account, at))
    }

    async fn provider_switches(&self) -> Result<Vec<ProviderSwitch>, StoreError> {
        look!(self, |session| switches::all(session))
    }

    async fn last_accepted(&self, provider: ProviderKind, account: &AccountId) -> Result<Option<Timestamp>, StoreError> {
        look!(self, |session| attempts::last_accepted(session, provider, account))
    }
}
