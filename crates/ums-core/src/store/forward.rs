//! For stores that stand in front of another store and change little of it.

/// Implements [`FeedbackStore`](crate::FeedbackStore), [`SuppressionStore`](crate::SuppressionStore), [`OutboxStore`](crate::OutboxStore) and
/// [`RateStore`](crate::RateStore) for a store by forwarding every call to the store behind it: `forward_aftermath!(InFront, inner, around)`.
/// Each call passes through the method `around`, which awaits the call, a future, and returns its result.
#[macro_export]
macro_rules! forward_aftermath {
    ($store:ty, $inner:ident, $around:ident) => {
        #[async_trait::async_trait]
        impl $crate::FeedbackStore for $store {
            async fn feedback_targets(&self, events: &[$crate::Event]) -> Result<$crate::Targets, $crate::StoreError> {
                self.$around(self.$inner.feedback_targets(events)).await
            }
            async fn take_feedback(&self, steps: Vec<$crate::FeedbackStep>) -> Result<Vec<$crate::FeedbackTaken>, $crate::StoreError> {
                self.$around(self.$inner.take_feedback(steps)).await
            }
            async fn parked_events(&self, now: $crate::Timestamp, limit: usize) -> Result<Vec<$crate::Parked>, $crate::StoreError> {
                self.$around(self.$inner.parked_events(now, limit)).await
            }
            async fn unknown_attempts_to(
                &self,
                provider: $crate::ProviderKind,
                account: &$crate::AccountId,
                address: &str,
                called: std::ops::RangeInclusive<$crate::Timestamp>,
                limit: usize,
            ) -> Result<Vec<$crate::MessageRecord>, $crate::StoreError> {
                self.$around(self.$inner.unknown_attempts_to(provider, account, address, called, limit))
                    .await
            }
            async fn feedback_cursor(&self, source: &str) -> Result<Option<String>, $crate::StoreError> {
                self.$around(self.$inner.feedback_cursor(source)).await
            }
            async fn save_feedback_cursor(&self, source: &str, cursor: &str) -> Result<(), $crate::StoreError> {
                self.$around(self.$inner.save_feedback_cursor(source, cursor)).await
            }
        }
        #[async_trait::async_trait]
        impl $crate::SuppressionStore for $store {
            async fn suppressed(
                &self,
                tenant: &$crate::TenantId,
                channel: $crate::Channel,
                addresses: &[String],
                now: $crate::Timestamp,
            ) -> Result<Vec<$crate::Suppression>, $crate::StoreError> {
                self.$around(self.$inner.suppressed(tenant, channel, addresses, now)).await
            }
            async fn suppress(
                &self,
                entries: Vec<$crate::Suppression>,
                notices: Vec<$crate::ListNotice>,
            ) -> Result<Vec<bool>, $crate::StoreError> {
                self.$around(self.$inner.suppress(entries, notices)).await
            }
            async fn lift(&self, lifts: Vec<$crate::Lift>, notices: Vec<$crate::ListNotice>) -> Result<Vec<bool>, $crate::StoreError> {
                self.$around(self.$inner.lift(lifts, notices)).await
            }
            async fn suppressions(
                &self,
                tenant: &$crate::TenantId,
                filter: &$crate::SuppressionFilter,
                cursor: Option<&$crate::SuppressionCursor>,
                now: $crate::Timestamp,
                limit: usize,
            ) -> Result<$crate::SuppressionPage, $crate::StoreError> {
                self.$around(self.$inner.suppressions(tenant, filter, cursor, now, limit))
                    .await
            }
            async fn carry_out_undos(&self, now: $crate::Timestamp) -> Result<$crate::Undone, $crate::StoreError> {
                self.$around(self.$inner.carry_out_undos(now)).await
            }
        }
        #[async_trait::async_trait]
        impl $crate::OutboxStore for $store {
            async fn save_endpoint(&self, endpoint: $crate::Endpoint) -> Result<(), $crate::StoreError> {
                self.$around(self.$inner.save_endpoint(endpoint)).await
            }
            async fn change_endpoint(
                &self,
                tenant: &$crate::TenantId,
                id: $crate::EndpointId,
                update: $crate::EndpointUpdate,
            ) -> Result<Option<$crate::Endpoint>, $crate::StoreError> {
                self.$around(self.$inner.change_endpoint(tenant, id, update)).await
            }
            async fn forget_endpoint(&self, tenant: &$crate::TenantId, id: $crate::EndpointId) -> Result<bool, $crate::StoreError> {
                self.$around(self.$inner.forget_endpoint(tenant, id)).await
            }
            async fn endpoints(&self) -> Result<Vec<$crate::Endpoint>, $crate::StoreError> {
                self.$around(self.$inner.endpoints()).await
            }
            async fn add_notices(&self, notices: Vec<$crate::Notice>) -> Result<(), $crate::StoreError> {
                self.$around(self.$inner.add_notices(notices)).await
            }
            async fn claim_notices(
                &self,
                tenant: &$crate::TenantId,
                endpoint: $crate::EndpointId,
                now: $crate::Timestamp,
                again_at: $crate::Timestamp,
                limit: usize,
            ) -> Result<Vec<$crate::Notice>, $crate::StoreError> {
                self.$around(self.$inner.claim_notices(tenant, endpoint, now, again_at, limit))
                    .await
            }
            async fn settle_notice(&self, outcome: $crate::NoticeOutcome) -> Result<(), $crate::StoreError> {
                self.$around(self.$inner.settle_notice(outcome)).await
            }
            async fn next_notice_due(&self) -> Result<Option<$crate::Timestamp>, $crate::StoreError> {
                self.$around(self.$inner.next_notice_due()).await
            }
            async fn notices(
                &self,
                tenant: &$crate::TenantId,
                filter: &$crate::NoticeFilter,
                cursor: Option<$crate::NoticeId>,
                limit: usize,
            ) -> Result<$crate::NoticePage, $crate::StoreError> {
                self.$around(self.$inner.notices(tenant, filter, cursor, limit)).await
            }
            async fn requeue_notices(
                &self,
                tenant: &$crate::TenantId,
                filter: &$crate::NoticeFilter,
                now: $crate::Timestamp,
                limit: usize,
            ) -> Result<u64, $crate::StoreError> {
                self.$around(self.$inner.requeue_notices(tenant, filter, now, limit)).await
            }
        }
        #[async_trait::async_trait]
        impl $crate::RateStore for $store {
            async fn add_rates(&self, rows: Vec<$crate::RateRow>) -> Result<(), $crate::StoreError> {
                self.$around(self.$inner.add_rates(rows)).await
            }
            async fn rates(&self, since: $crate::Timestamp) -> Result<Vec<$crate::RateRow>, $crate::StoreError> {
                self.$around(self.$inner.rates(since)).await
            }
        }
    };
}

/// Implements [`ProviderStore`](crate::ProviderStore) in the same way.
#[macro_export]
macro_rules! forward_providers {
    ($store:ty, $inner:ident, $around:ident) => {
        #[async_trait::async_trait]
        impl $crate::ProviderStore for $store {
            async fn switch_provider(
                &self,
                provider: $crate::ProviderKind,
                account: &$crate::AccountId,
                off: Option<$crate::SwitchedOff>,
            ) -> Result<(), $crate::StoreError> {
                self.$around(self.$inner.switch_provider(provider, account, off)).await
            }
            async fn note_trial(
                &self,
                provider: $crate::ProviderKind,
                account: &$crate::AccountId,
                at: $crate::Timestamp,
            ) -> Result<(), $crate::StoreError> {
                self.$around(self.$inner.note_trial(provider, account, at)).await
            }
            async fn provider_switches(&self) -> Result<Vec<$crate::ProviderSwitch>, $crate::StoreError> {
                self.$around(self.$inner.provider_switches()).await
            }
            async fn last_accepted(
                &self,
                provider: $crate::ProviderKind,
                account: &$crate::AccountId,
            ) -> Result<Option<$crate::Timestamp>, $crate::StoreError> {
                self.$around(self.$inner.last_accepted(provider, account)).await
            }
        }
    };
}

/// Implements [`TimeStore`](crate::TimeStore) in the same way.
#[macro_export]
macro_rules! forward_time {
    ($store:ty, $inner:ident, $around:ident) => {
        #[async_trait::async_trait]
        impl $crate::TimeStore for $store {
            async fn database_time(&self) -> Result<Option<$crate::Timestamp>, $crate::StoreError> {
                self.$around(self.$inner.database_time()).await
            }
            async fn kept_time(&self) -> Result<Option<$crate::KeptTime>, $crate::StoreError> {
                self.$around(self.$inner.kept_time()).await
            }
            async fn keep_time(&self, time: &$crate::KeptTime) -> Result<(), $crate::StoreError> {
                self.$around(self.$inner.keep_time(time)).await
            }
            async fn hasten(&self, waits: $crate::LongestWaits, now: $crate::Timestamp, limit: usize) -> Result<u64, $crate::StoreError> {
                self.$around(self.$inner.hasten(waits, now, limit)).await
            }
        }
    };
}
