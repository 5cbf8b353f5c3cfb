//! The suppression list, as callers and operators change it.

use ums_core::{
    Channel, Lift, ListName, StoreError, Suppression, SuppressionOrigin, SuppressionReason, TenantId, Timestamp, suppression_address,
};

use crate::desk::Desk;
use crate::fate::Says;

/// A new entry of the list. The edge has parsed the address.
#[derive(Clone)]
pub struct NewSuppression {
    /// The channel of the address.
    pub channel: Channel,
    /// Full address or number.
    pub address: String,
    /// The reason.
    pub reason: SuppressionReason,
    /// The only mailing list that an unsubscribe is from; none for all lists.
    pub list: Option<ListName>,
    /// Where the entry comes from.
    pub origin: SuppressionOrigin,
    /// For people.
    pub detail: Option<String>,
    /// Start of the entry; now if none.
    pub since: Option<Timestamp>,
    /// End of the entry; none for an entry for good.
    pub expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for NewSuppression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewSuppression({} {})", self.channel, self.reason)
    }
}

/// Puts addresses on the list, with their notices. Whether each entry is new.
pub(crate) async fn suppress(desk: &Desk, tenant: &TenantId, entries: Vec<NewSuppression>) -> Result<Vec<bool>, StoreError> {
    let now = desk.now();
    let listed = entries.into_iter().map(|entry| Suppression {
        tenant: tenant.clone(),
        channel: entry.channel,
        address: suppression_address(entry.channel, &entry.address),
        reason: entry.reason,
        list: entry.list,
        origin: entry.origin,
        provider: None,
        account: None,
        message_id: None,
        detail: entry.detail,
        // Never in the future: the later of entry and lift decides, and a lift of today must not lose to an entry of tomorrow.
        since: entry.since.map_or(now, |since| since.min(now)),
        expires_at: entry.expires_at,
        lifted_at: None,
    });
    let says = Says {
        suppress: listed.collect(),
        lift: Vec::new(),
    };
    let notices = desk.notices.of_list(&says);
    desk.ports.store.suppress(says.suppress, notices).await
}

/// Which entries of an address are lifted; all fields that are set must match.
#[derive(Clone, Debug, Default)]
pub struct Which {
    /// For this reason alone.
    pub reason: Option<SuppressionReason>,
    /// Of this mailing list alone.
    pub list: Option<ListName>,
}

impl Which {
    fn matches(&self, entry: &Suppression) -> bool {
        self.reason.is_none_or(|reason| reason == entry.reason) && (self.list.is_none() || self.list == entry.list)
    }
}

/// Lifts entries of an address. Returns how many were in force.
pub(crate) async fn unsuppress(desk: &Desk, tenant: &TenantId, channel: Channel, address: &str, which: &Which) -> Result<u64, StoreError> {
    let in_force = in_force(desk, tenant, channel, address).await?;
    lift(desk, in_force.into_iter().filter(|entry| which.matches(entry))).await
}

/// Lifts entries, with their notices. Returns how many were in force.
pub(crate) async fn lift(desk: &Desk, entries: impl Iterator<Item = Suppression>) -> Result<u64, StoreError> {
    let now = desk.now();
    let lifts = entries.map(|entry| Lift {
        tenant: entry.tenant,
        channel: entry.channel,
        address: entry.address,
        reason: entry.reason,
        list: entry.list,
        // The entry may be dated by the clock of a provider, ahead of ours.
        at: now.max(entry.since),
    });
    let says = Says {
        suppress: Vec::new(),
        lift: lifts.collect(),
    };
    if says.lift.is_empty() {
        return Ok(0);
    }
    let notices = desk.notices.of_list(&says);
    let lifted = desk.ports.store.lift(says.lift, notices).await?;
    Ok(lifted.into_iter().filter(|was_in_force| *was_in_force).count() as u64)
}

/// The entries in force for an address.
pub(crate) async fn in_force(desk: &Desk, tenant: &TenantId, channel: Channel, address: &str) -> Result<Vec<Suppression>, StoreError> {
    let addresses = [address.to_owned()];
    desk.ports.store.suppressed(tenant, channel, &addresses, desk.now()).await
}
