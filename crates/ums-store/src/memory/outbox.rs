//! Endpoints and notices in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use ums_core::{
    Endpoint, EndpointId, EndpointUpdate, MessageId, Notice, NoticeFilter, NoticeId, NoticeOutcome, NoticePage, NoticeState, OutboxStore,
    StoreError, TenantId, Timestamp,
};

use super::MemoryStore;

#[derive(Default)]
pub(super) struct Outbox {
    endpoints: BTreeMap<(TenantId, EndpointId), Endpoint>,
    notices: BTreeMap<(TenantId, NoticeId), Notice>,
    /// What is pending, by when it is due.
    pending: BTreeSet<(TenantId, EndpointId, Timestamp, NoticeId)>,
    of_message: BTreeMap<MessageId, Vec<NoticeId>>,
}

impl Outbox {
    /// Adds notices that are not there yet. What would be told to an endpoint that is gone is told to nobody.
    pub(super) fn add(&mut self, notices: Vec<Notice>) {
        for notice in notices {
            let key = (notice.tenant.clone(), notice.id);
            let has_endpoint = self.endpoints.contains_key(&(notice.tenant.clone(), notice.endpoint));
            if !has_endpoint || self.notices.contains_key(&key) {
                continue;
            }
            if let Some(message_id) = notice.message_id {
                self.of_message.entry(message_id).or_default().push(notice.id);
            }
            self.enqueue(&notice);
            self.notices.insert(key, notice);
        }
    }

    fn enqueue(&mut self, notice: &Notice) {
        if notice.state == NoticeState::Pending {
            self.pending
                .insert((notice.tenant.clone(), notice.endpoint, notice.due_at, notice.id));
        }
    }

    /// Changes a notice and puts it where it belongs.
    fn change(&mut self, key: &(TenantId, NoticeId), change: impl FnOnce(&mut Notice)) -> Option<Notice> {
        let notice = self.notices.get_mut(key)?;
        self.pending
            .remove(&(notice.tenant.clone(), notice.endpoint, notice.due_at, notice.id));
        change(notice);
        let notice = notice.clone();
        self.enqueue(&notice);
        Some(notice)
    }

    fn remove(&mut self, key: &(TenantId, NoticeId)) {
        let Some(notice) = self.notices.remove(key) else { return };
        self.pending.remove(&(notice.tenant, notice.endpoint, notice.due_at, notice.id));
        let Some(message_id) = notice.message_id else { return };
        if let Some(ids) = self.of_message.get_mut(&message_id) {
            ids.retain(|id| *id != notice.id);
            if ids.is_empty() {
                self.of_message.remove(&message_id);
            }
        }
    }

    /// Forgets the notices of a message.
    pub(super) fn forget_message(&mut self, tenant: &TenantId, message_id: MessageId) {
        let Some(ids) = self.of_message.get(&message_id).cloned() else {
            return;
        };
        for id in ids {
            self.remove(&(tenant.clone(), id));
        }
    }

    /// Forgets at most `limit` notices from before a time that are not pending. Says how many.
    pub(super) fn forget(&mut self, before: Timestamp, limit: usize) -> usize {
        let is_old = |notice: &&Notice| notice.state != NoticeState::Pending && notice.at < before;
        let old = self.notices.values().filter(is_old).take(limit);
        let keys: Vec<_> = old.map(|notice| (notice.tenant.clone(), notice.id)).collect();
        for key in &keys {
            self.remove(key);
        }
        keys.len()
    }

    /// Makes pending notices due at `now` that are due after `late`. Says how many.
    pub(super) fn hasten(&mut self, late: Timestamp, now: Timestamp, limit: usize) -> usize {
        let pending = self.pending.iter().filter(|row| row.2 > late).take(limit);
        let keys: Vec<_> = pending.map(|row| (row.0.clone(), row.3)).collect();
        for key in &keys {
            self.change(key, |notice| notice.due_at = now);
        }
        keys.len()
    }

    fn forget_endpoint(&mut self, tenant: &TenantId, id: EndpointId) -> bool {
        let to_it = self
            .notices
            .values()
            .filter(|notice| notice.tenant == *tenant && notice.endpoint == id);
        let keys: Vec<_> = to_it.map(|notice| (tenant.clone(), notice.id)).collect();
        for key in &keys {
            self.remove(key);
        }
        self.endpoints.remove(&(tenant.clone(), id)).is_some()
    }

    fn save_endpoint(&mut self, mut endpoint: Endpoint) {
        (endpoint.failing_since, endpoint.last_success_at, endpoint.last_error) = (None, None, None);
        let key = (endpoint.tenant.clone(), endpoint.id);
        if let Some(kept) = self.endpoints.remove(&key) {
            let begins_anew = kept.disabled.is_some() && endpoint.disabled.is_none();
            if !begins_anew {
                endpoint.failing_since = kept.failing_since;
                endpoint.last_success_at = kept.last_success_at;
                endpoint.last_error = kept.last_error;
            }
        }
        self.endpoints.insert(key, endpoint);
    }

    fn change_endpoint(&mut self, tenant: &TenantId, id: EndpointId, update: &EndpointUpdate) -> Option<Endpoint> {
        let mut endpoint = self.endpoints.get(&(tenant.clone(), id))?.clone();
        if update.apply(&mut endpoint) {
            self.save_endpoint(endpoint);
        }
        self.endpoints.get(&(tenant.clone(), id)).cloned()
    }

    fn claim(&mut self, (tenant, endpoint): (&TenantId, EndpointId), now: Timestamp, until: Timestamp, limit: usize) -> Vec<Notice> {
        let from = (
            tenant.clone(),
            endpoint,
            Timestamp::from_micros(i64::MIN),
            NoticeId::from_uuid(uuid::Uuid::nil()),
        );
        let to = (tenant.clone(), endpoint, now, NoticeId::from_uuid(uuid::Uuid::max()));
        let keys: Vec<_> = self
            .pending
            .range(from..=to)
            .take(limit)
            .map(|place| (place.0.clone(), place.3))
            .collect();
        let claim = |notice: &mut Notice| {
            notice.tries += 1;
            notice.due_at = until;
        };
        keys.iter().filter_map(|key| self.change(key, claim)).collect()
    }

    fn settle(&mut self, outcome: NoticeOutcome) {
        let NoticeOutcome {
            tenant,
            endpoint,
            id,
            state,
            due_at,
            result,
            at,
        } = outcome;
        if let Some(endpoint) = self.endpoints.get_mut(&(tenant.clone(), endpoint)) {
            if state == NoticeState::Delivered {
                endpoint.failing_since = None;
                endpoint.last_success_at = endpoint.last_success_at.max(Some(at));
            } else {
                endpoint.failing_since = endpoint.failing_since.or(Some(at));
                endpoint.last_error = Some(result.clone());
            }
        }
        self.change(&(tenant, id), |notice| {
            if notice.state != NoticeState::Delivered {
                (notice.state, notice.due_at, notice.last_result) = (state, due_at, Some(result));
            }
        });
    }

    fn next_due(&self) -> Option<Timestamp> {
        let open = self.endpoints.values().filter(|endpoint| endpoint.disabled.is_none());
        let firsts = open.filter_map(|endpoint| {
            let from = (
                endpoint.tenant.clone(),
                endpoint.id,
                Timestamp::from_micros(i64::MIN),
                NoticeId::from_uuid(uuid::Uuid::nil()),
            );
            let first = self.pending.range(from..).next()?;
            (first.0 == endpoint.tenant && first.1 == endpoint.id).then_some(first.2)
        });
        firsts.min()
    }

    fn requeue(&mut self, tenant: &TenantId, filter: &NoticeFilter, now: Timestamp, limit: usize) -> usize {
        let found = self
            .notices
            .values()
            .filter(|notice| notice.tenant == *tenant && matches(notice, filter));
        let keys: Vec<_> = found.take(limit).map(|notice| (tenant.clone(), notice.id)).collect();
        for key in &keys {
            self.change(key, |notice| {
                (notice.state, notice.tries, notice.due_at) = (NoticeState::Pending, 0, now);
            });
        }
        keys.len()
    }
}

fn matches(notice: &Notice, filter: &NoticeFilter) -> bool {
    filter.endpoint.is_none_or(|endpoint| notice.endpoint == endpoint)
        && filter.state.is_none_or(|state| notice.state == state)
        && filter.message_id.is_none_or(|message_id| notice.message_id == Some(message_id))
        && filter.since.is_none_or(|since| notice.at >= since)
        && filter.until.is_none_or(|until| notice.at < until)
}

#[async_trait]
impl OutboxStore for MemoryStore {
    async fn save_endpoint(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        self.state().outbox.save_endpoint(endpoint);
        Ok(())
    }

    async fn change_endpoint(&self, tenant: &TenantId, id: EndpointId, update: EndpointUpdate) -> Result<Option<Endpoint>, StoreError> {
        Ok(self.state().outbox.change_endpoint(tenant, id, &update))
    }

    async fn forget_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError> {
        Ok(self.state().outbox.forget_endpoint(tenant, id))
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        Ok(self.state().outbox.endpoints.values().cloned().collect())
    }

    async fn add_notices(&self, notices: Vec<Notice>) -> Result<(), StoreError> {
        self.state().outbox.add(notices);
        Ok(())
    }

    async fn claim_notices(
        &self,
        tenant: &TenantId,
        endpoint: EndpointId,
        now: Timestamp,
        again_at: Timestamp,
        limit: usize,
    ) -> Result<Vec<Notice>, StoreError> {
        Ok(self.state().outbox.claim((tenant, endpoint), now, again_at, limit))
    }

    async fn settle_notice(&self, outcome: NoticeOutcome) -> Result<(), StoreError> {
        self.state().outbox.settle(outcome);
        Ok(())
    }

    async fn next_notice_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.state().outbox.next_due())
    }

    async fn notices(
        &self,
        tenant: &TenantId,
        filter: &NoticeFilter,
        cursor: Option<NoticeId>,
        limit: usize,
    ) -> Result<NoticePage, StoreError> {
        let state = self.state();
        let mut found = state
            .outbox
            .notices
            .values()
            .rev()
            .filter(|notice| notice.tenant == *tenant && cursor.is_none_or(|cursor| notice.id < cursor) && matches(notice, filter));
        let notices: Vec<Notice> = found.by_ref().take(limit).cloned().collect();
        let next_cursor = notices.last().map(|notice| notice.id).filter(|_| found.next().is_some());
        Ok(NoticePage { notices, next_cursor })
    }

    async fn requeue_notices(&self, tenant: &TenantId, filter: &NoticeFilter, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let requeued = self.state().outbox.requeue(tenant, filter, now, limit);
        Ok(u64::try_from(requeued).unwrap_or(u64::MAX))
    }
}
