//! What stands beside the messages: feedback, suppressions, notices, rates, switches of providers.

use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use ums_core::{
    AccountId, Channel, Endpoint, EndpointId, EndpointUpdate, Event, FeedbackStep, FeedbackStore, FeedbackTaken, Lift, ListNotice,
    MessageRecord, Notice, NoticeFilter, NoticeId, NoticeOutcome, NoticePage, OutboxStore, Parked, ProviderKind, ProviderStore,
    ProviderSwitch, RateRow, RateStore, StoreError, Suppression, SuppressionCursor, SuppressionFilter, SuppressionPage, SuppressionStore,
    SwitchedOff, Targets, TenantId, Timestamp, Undone,
};

use super::{
    SqliteStore, attempts, cursors, endpoints, events, feedback, messages, notices, rates, suppressions, switches, targets, undos,
};
use crate::encoded::EncodedFeedback;
use crate::{listed, plain};

impl SqliteStore {
    /// Takes feedback as one request of the writer.
    async fn take_together(&self, steps: Arc<[EncodedFeedback]>) -> Result<Vec<FeedbackTaken>, StoreError> {
        let (process, now) = (self.process(), self.clock.now());
        let bytes = steps.iter().map(EncodedFeedback::bytes).sum();
        let work = move |connection: &Connection| feedback::take(connection, process, &steps, now);
        self.writer.submit(bytes, work).await
    }
}

#[async_trait]
impl FeedbackStore for SqliteStore {
    async fn feedback_targets(&self, events: &[Event]) -> Result<Targets, StoreError> {
        let events = events.to_vec();
        self.read(move |connection| targets::of(connection, &events)).await
    }

    async fn take_feedback(&self, steps: Vec<FeedbackStep>) -> Result<Vec<FeedbackTaken>, StoreError> {
        let encode = |step| EncodedFeedback::new(step, self.owner);
        let steps: Arc<[EncodedFeedback]> = steps.into_iter().map(encode).collect::<Result<_, _>>()?;
        match self.take_together(Arc::clone(&steps)).await {
            Err(StoreError::RefusedData(_)) => {
                let steps: Vec<FeedbackStep> = steps.iter().map(EncodedFeedback::step).collect();
                plain::one_by_one(&steps, |step| async { self.take_together(Arc::new([encode(step)?])).await }).await
            }
            taken => taken,
        }
    }

    async fn parked_events(&self, now: Timestamp, limit: usize) -> Result<Vec<Parked>, StoreError> {
        self.read(move |connection| events::parked(connection, now, limit)).await
    }

    async fn unknown_attempts_to(
        &self,
        provider: ProviderKind,
        account: &AccountId,
        address: &str,
        called: RangeInclusive<Timestamp>,
        limit: usize,
    ) -> Result<Vec<MessageRecord>, StoreError> {
        let (account, address) = (account.clone(), address.to_owned());
        self.read(move |connection| {
            let keys = attempts::unknown_to(connection, (provider, &account), &address, &called)?;
            let found = keys.iter().take(limit);
            found
                .filter_map(|(id, tenant)| messages::message(connection, tenant, *id).transpose())
                .collect()
        })
        .await
    }

    async fn feedback_cursor(&self, source: &str) -> Result<Option<String>, StoreError> {
        let source = source.to_owned();
        self.read(move |connection| cursors::read(connection, &source)).await
    }

    async fn save_feedback_cursor(&self, source: &str, cursor: &str) -> Result<(), StoreError> {
        let (source, cursor) = (source.to_owned(), cursor.to_owned());
        self.writer
            .submit(0, move |connection| cursors::save(connection, &source, &cursor))
            .await
    }
}

#[async_trait]
impl SuppressionStore for SqliteStore {
    async fn suppressed(
        &self,
        tenant: &TenantId,
        channel: Channel,
        addresses: &[String],
        now: Timestamp,
    ) -> Result<Vec<Suppression>, StoreError> {
        let tenant = tenant.clone();
        let addresses = listed::all_spellings(channel, addresses);
        self.read(move |connection| suppressions::in_force(connection, (&tenant, channel), &addresses, now))
            .await
    }

    async fn suppress(&self, entries: Vec<Suppression>, notices: Vec<ListNotice>) -> Result<Vec<bool>, StoreError> {
        let now = self.clock.now();
        self.writer
            .submit(0, move |connection| {
                suppressions::change(connection, (&entries, &[]), &notices, now)
            })
            .await
    }

    async fn lift(&self, lifts: Vec<Lift>, notices: Vec<ListNotice>) -> Result<Vec<bool>, StoreError> {
        let now = self.clock.now();
        self.writer
            .submit(0, move |connection| suppressions::change(connection, (&[], &lifts), &notices, now))
            .await
    }

    async fn suppressions(
        &self,
        tenant: &TenantId,
        filter: &SuppressionFilter,
        cursor: Option<&SuppressionCursor>,
        now: Timestamp,
        limit: usize,
    ) -> Result<SuppressionPage, StoreError> {
        let (tenant, filter, cursor) = (tenant.clone(), filter.clone(), cursor.cloned());
        self.read(move |connection| suppressions::page(connection, &tenant, &filter, cursor.as_ref(), (now, limit)))
            .await
    }

    async fn carry_out_undos(&self, now: Timestamp) -> Result<Undone, StoreError> {
        // Nothing is decided as a rule: the writer is not asked then.
        if !self.read(undos::any).await? {
            return Ok(Undone::default());
        }
        self.writer.submit(0, move |connection| undos::again(connection, now)).await
    }
}

#[async_trait]
impl OutboxStore for SqliteStore {
    async fn save_endpoint(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        self.writer
            .submit(0, move |connection| endpoints::save(connection, &endpoint))
            .await
    }

    async fn change_endpoint(&self, tenant: &TenantId, id: EndpointId, update: EndpointUpdate) -> Result<Option<Endpoint>, StoreError> {
        let tenant = tenant.clone();
        self.writer
            .submit(0, move |connection| endpoints::change(connection, &tenant, id, &update))
            .await
    }

    async fn forget_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError> {
        let tenant = tenant.clone();
        self.writer
            .submit(0, move |connection| endpoints::forget(connection, &tenant, id))
            .await
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        self.read(endpoints::all).await
    }

    async fn add_notices(&self, notices: Vec<Notice>) -> Result<(), StoreError> {
        let bytes = notices.iter().map(|notice| notice.body.len()).sum();
        self.writer
            .submit(bytes, move |connection| notices::add(connection, &notices))
            .await
    }

    async fn claim_notices(
        &self,
        tenant: &TenantId,
        endpoint: EndpointId,
        now: Timestamp,
        again_at: Timestamp,
        limit: usize,
    ) -> Result<Vec<Notice>, StoreError> {
        let tenant = tenant.clone();
        self.writer
            .submit(0, move |connection| {
                notices::claim(connection, (&tenant, endpoint), now, again_at, limit)
            })
            .await
    }

    async fn settle_notice(&self, outcome: NoticeOutcome) -> Result<(), StoreError> {
        self.writer
            .submit(0, move |connection| {
                notices::settle(connection, &outcome)?;
                endpoints::note(connection, &outcome)
            })
            .await
    }

    async fn next_notice_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(notices::next_due).await
    }

    async fn notices(
        &self,
        tenant: &TenantId,
        filter: &NoticeFilter,
        cursor: Option<NoticeId>,
        limit: usize,
    ) -> Result<NoticePage, StoreError> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        self.read(move |connection| notices::page(connection, &tenant, &filter, cursor, limit))
            .await
    }

    async fn requeue_notices(&self, tenant: &TenantId, filter: &NoticeFilter, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        self.writer
            .submit(0, move |connection| notices::requeue(connection, &tenant, &filter, now, limit))
            .await
    }
}

#[async_trait]
impl RateStore for SqliteStore {
    async fn add_rates(&self, rows: Vec<RateRow>) -> Result<(), StoreError> {
        self.writer.submit(0, move |connection| rates::add(connection, &rows)).await
    }

    async fn rates(&self, since: Timestamp) -> Result<Vec<RateRow>, StoreError> {
        self.read(move |connection| rates::since(connection, since)).await
    }
}

#[async_trait]
impl ProviderStore for SqliteStore {
    async fn switch_provider(&self, provider: ProviderKind, account: &AccountId, off: Option<SwitchedOff>) -> Result<(), StoreError> {
        let account = account.clone();
        self.writer
            .submit(0, move |connection| switches::switch(connection, provider, &account, off.as_ref()))
            .await
    }

    async fn note_trial(&self, provider: ProviderKind, account: &AccountId, at: Timestamp) -> Result<(), StoreError> {
        let account = account.clone();
        self.writer
            .submit(0, move |connection| switches::note_trial(connection, provider, &account, at))
            .await
    }

    async fn provider_switches(&self) -> Result<Vec<ProviderSwitch>, StoreError> {
        self.read(switches::all).await
    }

    async fn last_accepted(&self, provider: ProviderKind, account: &AccountId) -> Result<Option<Timestamp>, StoreError> {
        let account = account.clone();
        self.read(move |connection| attempts::last_accepted(connection, provider, &account))
            .await
    }
}
