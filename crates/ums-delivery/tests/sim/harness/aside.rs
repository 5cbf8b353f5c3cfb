//! The parts of the store port beside the messages: the suppression list and feedback are simulated like them; notices and
//! rates are not.

use async_trait::async_trait;
use ums_core::{
    AccountId, Channel, Endpoint, EndpointId, EndpointUpdate, Event, FeedbackStep, FeedbackStore, FeedbackTaken, KeptTime, Lift,
    ListNotice, LongestWaits, MessageRecord, Notice, NoticeFilter, NoticeId, NoticeOutcome, NoticePage, OutboxStore, Parked, ProviderKind,
    ProviderStore, ProviderSwitch, RateRow, RateStore, Store as _, StoreError, Suppression, SuppressionCursor, SuppressionFilter,
    SuppressionPage, SuppressionStore, SwitchedOff, Targets, TenantId, TimeStore, Timestamp, Undone,
};

use super::reports;
use super::store::SimStore;

#[async_trait]
impl SuppressionStore for SimStore {
    async fn suppressed(
        &self,
        tenant: &TenantId,
        _: Channel,
        addresses: &[String],
        now: Timestamp,
    ) -> Result<Vec<Suppression>, StoreError> {
        let (tenant, addresses) = (tenant.clone(), addresses.to_vec());
        self.through(false, move |world| Ok(world.ledger.optouts.in_force(&tenant, &addresses, now)))
            .await
    }

    async fn suppress(&self, entries: Vec<Suppression>, _: Vec<ListNotice>) -> Result<Vec<bool>, StoreError> {
        self.through(true, move |world| {
            let now = world.wall();
            world.note([8, entries.len() as u64, 0], || format!("store: {} opted out", entries.len()));
            let optouts = &mut world.ledger.optouts;
            Ok(entries.into_iter().map(|entry| optouts.put(entry, now)).collect())
        })
        .await
    }

    async fn lift(&self, lifts: Vec<Lift>, _: Vec<ListNotice>) -> Result<Vec<bool>, StoreError> {
        self.through(true, move |world| {
            let now = world.wall();
            world.note([9, lifts.len() as u64, 0], || format!("store: {} lifted", lifts.len()));
            let optouts = &mut world.ledger.optouts;
            Ok(lifts.into_iter().map(|lift| optouts.lift(lift, now)).collect())
        })
        .await
    }

    async fn suppressions(
        &self,
        _: &TenantId,
        _: &SuppressionFilter,
        _: Option<&SuppressionCursor>,
        _: Timestamp,
        _: usize,
    ) -> Result<SuppressionPage, StoreError> {
        Ok(SuppressionPage::default())
    }

    async fn carry_out_undos(&self, now: Timestamp) -> Result<Undone, StoreError> {
        self.through(true, move |world| Ok(world.ledger.optouts.carry_out_all(now))).await
    }
}

#[async_trait]
impl FeedbackStore for SimStore {
    async fn feedback_targets(&self, events: &[Event]) -> Result<Targets, StoreError> {
        let events = events.to_vec();
        self.through(false, move |world| Ok(reports::targets(world, &events))).await
    }

    async fn take_feedback(&self, steps: Vec<FeedbackStep>) -> Result<Vec<FeedbackTaken>, StoreError> {
        let owner = self.owner();
        self.through(true, move |world| Ok(reports::take(world, owner, steps))).await
    }

    async fn parked_events(&self, now: Timestamp, limit: usize) -> Result<Vec<Parked>, StoreError> {
        self.through(false, move |world| Ok(reports::parked(world, now, limit))).await
    }

    async fn unknown_attempts_to(
        &self,
        _: ProviderKind,
        _: &AccountId,
        _: &str,
        _: std::ops::RangeInclusive<Timestamp>,
        _: usize,
    ) -> Result<Vec<MessageRecord>, StoreError> {
        Ok(Vec::new())
    }

    async fn feedback_cursor(&self, _: &str) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn save_feedback_cursor(&self, _: &str, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl OutboxStore for SimStore {
    async fn save_endpoint(&self, _: Endpoint) -> Result<(), StoreError> {
        Ok(())
    }

    async fn change_endpoint(&self, _: &TenantId, _: EndpointId, _: EndpointUpdate) -> Result<Option<Endpoint>, StoreError> {
        Ok(None)
    }

    async fn forget_endpoint(&self, _: &TenantId, _: EndpointId) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        Ok(Vec::new())
    }

    async fn add_notices(&self, _: Vec<Notice>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn claim_notices(&self, _: &TenantId, _: EndpointId, _: Timestamp, _: Timestamp, _: usize) -> Result<Vec<Notice>, StoreError> {
        Ok(Vec::new())
    }

    async fn settle_notice(&self, _: NoticeOutcome) -> Result<(), StoreError> {
        Ok(())
    }

    async fn next_notice_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    async fn notices(&self, _: &TenantId, _: &NoticeFilter, _: Option<NoticeId>, _: usize) -> Result<NoticePage, StoreError> {
        Ok(NoticePage::default())
    }

    async fn requeue_notices(&self, _: &TenantId, _: &NoticeFilter, _: Timestamp, _: usize) -> Result<u64, StoreError> {
        Ok(0)
    }
}

#[async_trait]
impl RateStore for SimStore {
    async fn add_rates(&self, _: Vec<RateRow>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn rates(&self, _: Timestamp) -> Result<Vec<RateRow>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl ProviderStore for SimStore {
    async fn switch_provider(&self, _: ProviderKind, _: &AccountId, _: Option<SwitchedOff>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn note_trial(&self, _: ProviderKind, _: &AccountId, _: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }

    async fn provider_switches(&self) -> Result<Vec<ProviderSwitch>, StoreError> {
        Ok(Vec::new())
    }

    async fn last_accepted(&self, _: ProviderKind, _: &AccountId) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }
}

#[async_trait]
impl TimeStore for SimStore {
    async fn database_time(&self) -> Result<Option<Timestamp>, StoreError> {
        if !self.is_shared() {
            return Ok(None);
        }
        self.through(false, |world| Ok(Some(world.wall()))).await
    }

    async fn kept_time(&self) -> Result<Option<KeptTime>, StoreError> {
        self.through(false, |world| Ok(world.ledger.kept_time.clone())).await
    }

    async fn keep_time(&self, time: &KeptTime) -> Result<(), StoreError> {
        let time = time.clone();
        self.through(true, move |world| {
            world.ledger.kept_time = Some(time);
            Ok(())
        })
        .await
    }

    async fn hasten(&self, _: LongestWaits, _: Timestamp, _: usize) -> Result<u64, StoreError> {
        // Its clocks are never wrong for as long as a wrong time is trusted.
        Ok(0)
    }
}
