//! The endpoints as this process knows them, in memory, so that a step without an interested endpoint costs no query. The task that posts
//! notices reads them from the store every few seconds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;
use ums_core::{Endpoint, NoticeKind, Store, StoreError, TenantId};

/// All endpoints of all tenants. A change by another process arrives with the next refresh, seconds later.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    any: AtomicBool,
    known: RwLock<Arc<[Endpoint]>>,
    /// Whether this process changed an endpoint since the last refresh.
    stale: AtomicBool,
    /// Notified when a step may have notices.
    news: Notify,
    /// Notified when a post ends.
    post_ended: Notify,
}

impl Endpoints {
    /// Reads the endpoints from the store.
    pub(crate) async fn refresh(&self, store: &dyn Store) -> Result<(), StoreError> {
        let endpoints: Arc<[Endpoint]> = store.endpoints().await?.into();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        self.any.store(!endpoints.is_empty(), Ordering::Release);
        *known = endpoints;
        Ok(())
    }

    /// All endpoints; none where there are none. Without endpoints the hot path reads one flag and takes no lock.
    pub(crate) fn all(&self) -> Option<Arc<[Endpoint]>> {
        let any = self.any.load(Ordering::Acquire);
        any.then(|| self.known.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Notes a change by this process: the poster reads the endpoints anew before the next post.
    pub(crate) fn changed(&self) {
        self.stale.store(true, Ordering::Release);
        self.news.notify_one();
    }

    /// Whether the endpoints must be read anew. Resets the mark.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale.swap(false, Ordering::AcqRel)
    }

    /// Wakes the poster: a step has notices.
    pub(crate) fn wake(&self) {
        self.news.notify_one();
    }

    /// Waits until the poster is woken.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Tells the poster that a post ended: another one to the same endpoint may begin.
    pub(crate) fn post_ended(&self) {
        self.post_ended.notify_one();
    }

    /// Waits until a post ends.
    pub(crate) async fn until_post_ends(&self) {
        self.post_ended.notified().await;
    }

    /// All endpoints, if an endpoint of the tenant wants notices of one of these kinds.
    pub(crate) fn wanting(&self, tenant: &TenantId, kinds: &(impl Iterator<Item = NoticeKind> + Clone)) -> Option<Arc<[Endpoint]>> {
        let all = self.all()?;
        let wanted = all
            .iter()
            .any(|endpoint| endpoint.tenant == *tenant && kinds.clone().any(|kind| endpoint.wants(kind)));
        wanted.then_some(all)
    }
}
