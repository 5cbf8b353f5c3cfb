//! Stands in for parts of a store that are being written.

macro_rules! unbuilt {
    ($store:ty) => {
        #[async_trait::async_trait]
        impl ums_core::FeedbackStore for $store {
            async fn feedback_targets(&self, events: &[ums_core::Event]) -> Result<ums_core::Targets, ums_core::StoreError> {
                Ok(ums_core::Targets {
                    of: vec![ums_core::Target::Nobody; events.len()],
                    messages: Vec::new(),
                })
            }
            async fn take_feedback(&self, _: Vec<ums_core::FeedbackStep>) -> Result<Vec<ums_core::FeedbackTaken>, ums_core::StoreError> {
                Err(ums_core::StoreError::Unusable("not built".to_owned()))
            }
            async fn parked_events(&self, _: ums_core::Timestamp, _: usize) -> Result<Vec<ums_core::Parked>, ums_core::StoreError> {
                Ok(Vec::new())
            }
            async fn unknown_attempts_to(
                &self,
                _: ums_core::ProviderKind,
                _: &ums_core::AccountId,
                _: &str,
                _: (ums_core::Timestamp, ums_core::Timestamp),
                _: usize,
            ) -> Result<Vec<ums_core::MessageRecord>, ums_core::StoreError> {
                Ok(Vec::new())
            }
            async fn feedback_cursor(&self, _: &str) -> Result<Option<String>, ums_core::StoreError> {
                Ok(None)
            }
            async fn save_feedback_cursor(&self, _: &str, _: &str) -> Result<(), ums_core::StoreError> {
                Ok(())
            }
        }
        #[async_trait::async_trait]
        impl ums_core::SuppressionStore for $store {
            async fn suppressed(
                &self,
                _: &ums_core::TenantId,
                _: ums_core::Channel,
                _: &[String],
                _: ums_core::Timestamp,
            ) -> Result<Vec<ums_core::Suppression>, ums_core::StoreError> {
                Ok(Vec::new())
            }
            async fn suppress(&self, _: Vec<ums_core::Suppression>, _: Vec<ums_core::Notice>) -> Result<Vec<bool>, ums_core::StoreError> {
                Err(ums_core::StoreError::Unusable("not built".to_owned()))
            }
            async fn lift(&self, _: Vec<ums_core::Lift>, _: Vec<ums_core::Notice>) -> Result<Vec<bool>, ums_core::StoreError> {
                Err(ums_core::StoreError::Unusable("not built".to_owned()))
            }
            async fn suppressions(
                &self,
                _: &ums_core::TenantId,
                _: &ums_core::SuppressionFilter,
                _: Option<&ums_core::SuppressionCursor>,
                _: ums_core::Timestamp,
                _: usize,
            ) -> Result<ums_core::SuppressionPage, ums_core::StoreError> {
                Ok(ums_core::SuppressionPage::default())
            }
            async fn undo_suppressions(&self, _: ums_core::Undo) -> Result<u64, ums_core::StoreError> {
                Ok(0)
            }
        }
        #[async_trait::async_trait]
        impl ums_core::OutboxStore for $store {
            async fn save_endpoint(&self, _: ums_core::Endpoint) -> Result<(), ums_core::StoreError> {
                Err(ums_core::StoreError::Unusable("not built".to_owned()))
            }
            async fn forget_endpoint(&self, _: &ums_core::TenantId, _: ums_core::EndpointId) -> Result<bool, ums_core::StoreError> {
                Ok(false)
            }
            async fn endpoints(&self) -> Result<Vec<ums_core::Endpoint>, ums_core::StoreError> {
                Ok(Vec::new())
            }
            async fn add_notices(&self, _: Vec<ums_core::Notice>) -> Result<(), ums_core::StoreError> {
                Ok(())
            }
            async fn claim_notices(
                &self,
                _: &ums_core::TenantId,
                _: ums_core::EndpointId,
                _: (ums_core::Timestamp, ums_core::Timestamp),
                _: usize,
            ) -> Result<Vec<ums_core::Notice>, ums_core::StoreError> {
                Ok(Vec::new())
            }
            async fn settle_notice(&self, _: ums_core::NoticeOutcome) -> Result<(), ums_core::StoreError> {
                Ok(())
            }
            async fn next_notice_due(&self) -> Result<Option<ums_core::Timestamp>, ums_core::StoreError> {
                Ok(None)
            }
            async fn notices(
                &self,
                _: &ums_core::TenantId,
                _: &ums_core::NoticeFilter,
                _: Option<ums_core::NoticeId>,
                _: usize,
            ) -> Result<ums_core::NoticePage, ums_core::StoreError> {
                Ok(ums_core::NoticePage::default())
            }
            async fn requeue_notices(
                &self,
                _: &ums_core::TenantId,
                _: &ums_core::NoticeFilter,
                _: ums_core::Timestamp,
                _: usize,
            ) -> Result<u64, ums_core::StoreError> {
                Ok(0)
            }
        }
        #[async_trait::async_trait]
        impl ums_core::RateStore for $store {
            async fn add_rates(&self, _: Vec<ums_core::RateRow>) -> Result<(), ums_core::StoreError> {
                Ok(())
            }
            async fn rates(&self, _: ums_core::Timestamp) -> Result<Vec<ums_core::RateRow>, ums_core::StoreError> {
                Ok(Vec::new())
            }
        }
    };
}
pub(crate) use unbuilt;
