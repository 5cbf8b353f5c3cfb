//! The endpoints as this process knows them: read again every few seconds, so that a step costs nothing where nobody is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;
use ums_core::{Endpoint, NoticeKind, Store, StoreError, TenantId};

/// All endpoints of all tenants. A change by another process is seen at the next look, seconds later.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    any: AtomicBool,
    known: RwLock<Arc<[Endpoint]>>,
    /// Whether this process changed them.
    stale: AtomicBool,
    /// There may be something to tell.
    news: Notify,
    /// Notified when a post ends.
    post_ended: Notify,
}

impl Endpoints {
    /// Reads them from the store.
    pub(crate) async fn refresh(&self, store: &dyn Store) -> Result<(), StoreError> {
        let endpoints: Arc<[Endpoint]> = store.endpoints().await?.into();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        self.any.store(!endpoints.is_empty(), Ordering::Release);
        *known = endpoints;
        Ok(())
    }

    /// All of them; none where there are none, without a look at more than a flag.
    pub(crate) fn all(&self) -> Option<Arc<[Endpoint]>> {
        let any = self.any.load(Ordering::Acquire);
        any.then(|| self.known.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// This process changed them: they are read anew before anything else is posted.
    pub(crate) fn changed(&self) {
        self.stale.store(true, Ordering::Release);
        self.news.notify_one();
    }

    /// Whether they must be read anew; once.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale.swap(false, Ordering::AcqRel)
    }

    /// There is something to tell.
    pub(crate) fn wake(&self) {
        self.news.notify_one();
    }

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

    /// Whether somebody of the tenant wants to be told about any of these.
    pub(crate) fn wanting(&self, tenant: &TenantId, kinds: &(impl Iterator<Item = NoticeKind> + Clone)) -> Option<Arc<[Endpoint]>> {
        let all = self.all()?;
        let wanted = all
            .iter()
            .any(|endpoint| endpoint.tenant == *tenant && kinds.clone().any(|kind| endpoint.wants(kind)));
        wanted.then_some(all)
    }
}
