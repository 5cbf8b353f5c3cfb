//! The suppression list in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use async_trait::async_trait;
use ums_core::{
    Channel, Lift, ListName, ListNotice, StoreError, Suppression, SuppressionCursor, SuppressionFilter, SuppressionPage, SuppressionReason,
    SuppressionStore, TenantId, Timestamp, Undo, Undone, listed_key, spellings,
};

use super::MemoryStore;
use crate::listed::{self, Listed, Listing};

/// Tenant, channel, address, the reason's word, and the mailing list: the order of the list.
type Place = (TenantId, Channel, String, &'static str, String);

/// The list of all tenants.
#[derive(Default)]
pub(super) struct Suppressions {
    places: BTreeMap<Place, Listed>,
    undos: Vec<Undo>,
}

fn place(tenant: &TenantId, channel: Channel, address: &str, of: (SuppressionReason, Option<&ListName>)) -> Place {
    let list = listed::list_key(of.1).to_owned();
    (tenant.clone(), channel, address.to_owned(), of.0.as_str(), list)
}

impl Suppressions {
    /// Puts an entry on the list. Whether it is in force now, and was not before in any spelling.
    pub(super) fn put(&mut self, entry: Suppression, now: Timestamp) -> bool {
        let spellings = spellings(entry.channel, &entry.address);
        let entry = listed::put_in_form(entry);
        let key_of = |address: &str| place(&entry.tenant, entry.channel, address, (entry.reason, entry.list.as_ref()));
        let was_in_force = spellings
            .iter()
            .any(|spelling| self.places.get(&key_of(spelling)).is_some_and(|listed| listed.is_in_force(now)));
        let listed = self.places.entry(key_of(&entry.address)).or_default();
        listed.put(entry);
        !was_in_force && listed.is_in_force(now)
    }

    /// Takes an entry off the list. Whether it was in force before and is not any more.
    pub(super) fn lift(&mut self, lift: &Lift, now: Timestamp) -> bool {
        let mut is_lifted = false;
        for spelling in listed::lifts_in_form(lift) {
            is_lifted |= self.lift_one(&spelling, now);
        }
        is_lifted
    }

    fn lift_one(&mut self, lift: &Lift, now: Timestamp) -> bool {
        let key = place(&lift.tenant, lift.channel, &lift.address, (lift.reason, lift.list.as_ref()));
        if !self.places.contains_key(&key) && !listed::is_kept_alone(lift.reason) {
            return false;
        }
        let listed = self.places.entry(key).or_default();
        let was_in_force = listed.is_in_force(now);
        listed.lift(lift.at);
        was_in_force && !listed.is_in_force(now)
    }

    /// What is known of these addresses.
    pub(super) fn of(&self, tenant: &TenantId, channel: Channel, addresses: &BTreeSet<String>) -> Listing {
        if self.places.is_empty() {
            return Listing::new();
        }
        let found = addresses.iter().flat_map(|address| {
            let first = (tenant.clone(), channel, address.clone(), "", String::new());
            let of_address = self.places.range(first..);
            of_address.take_while(move |(place, _)| (&place.0, place.1, &place.2) == (tenant, channel, address))
        });
        found
            .map(|(place, listed)| ((place.2.clone(), place.3, place.4.clone()), listed.clone()))
            .collect()
    }

    /// Keeps a decision and carries it out.
    pub(super) fn decide(&mut self, undo: &Undo, now: Timestamp) {
        let key = |undo: &Undo| (undo.provider, undo.account.clone(), undo.reason, undo.origin, undo.since);
        let mut kept = self.undos.iter_mut().filter(|kept| key(kept) == key(undo));
        if let Some(kept) = kept.next() {
            kept.until = kept.until.max(undo.until);
            kept.at = kept.at.min(undo.at);
        } else {
            self.undos.push(undo.clone());
        }
        self.carry_out(undo, now);
    }

    fn carry_out(&mut self, undo: &Undo, now: Timestamp) -> u64 {
        let mut lifted = 0;
        for listed in self.places.values_mut() {
            let undone = |entry: &Suppression| undo.concerns(entry) && entry.is_in_force(now);
            let Some(entry) = listed.entry().filter(undone) else {
                continue;
            };
            // A provider's clock may run ahead of ours.
            listed.lift(now.max(entry.since));
            lifted += 1;
        }
        lifted
    }
}

fn matches(entry: &Suppression, filter: &SuppressionFilter, now: Timestamp) -> bool {
    filter.channel.is_none_or(|channel| entry.channel == channel)
        && filter.reason.is_none_or(|reason| entry.reason == reason)
        && filter
            .address
            .as_ref()
            .is_none_or(|address| listed_key(entry.channel, &entry.address) == listed_key(entry.channel, address))
        && (filter.with_lifted || entry.is_in_force(now))
}

#[async_trait]
impl SuppressionStore for MemoryStore {
    async fn suppressed(
        &self,
        tenant: &TenantId,
        channel: Channel,
        addresses: &[String],
        now: Timestamp,
    ) -> Result<Vec<Suppression>, StoreError> {
        let addresses = listed::all_spellings(channel, addresses);
        let listing = self.state().suppressions.of(tenant, channel, &addresses);
        let in_force = listing.values().filter(|listed| listed.is_in_force(now));
        Ok(in_force.filter_map(Listed::entry).collect())
    }

    async fn suppress(&self, entries: Vec<Suppression>, notices: Vec<ListNotice>) -> Result<Vec<bool>, StoreError> {
        let now = self.clock.now();
        Ok(self.state().note_aside(entries, &[], &notices, now))
    }

    async fn lift(&self, lifts: Vec<Lift>, notices: Vec<ListNotice>) -> Result<Vec<bool>, StoreError> {
        let now = self.clock.now();
        Ok(self.state().note_aside(Vec::new(), &lifts, &notices, now))
    }

    async fn suppressions(
        &self,
        tenant: &TenantId,
        filter: &SuppressionFilter,
        cursor: Option<&SuppressionCursor>,
        now: Timestamp,
        limit: usize,
    ) -> Result<SuppressionPage, StoreError> {
        let state = self.state();
        let from = match cursor {
            None => Bound::Included((tenant.clone(), Channel::Email, String::new(), "", String::new())),
            Some(cursor) => Bound::Excluded(place(
                tenant,
                cursor.channel,
                &cursor.address,
                (cursor.reason, cursor.list.as_ref()),
            )),
        };
        let places = state.suppressions.places.range((from, Bound::Unbounded));
        let mut found = places
            .take_while(|(place, _)| place.0 == *tenant)
            .filter_map(|(_, listed)| listed.entry())
            .filter(|entry| matches(entry, filter, now));
        let entries: Vec<Suppression> = found.by_ref().take(limit).collect();
        let next_cursor = entries.last().filter(|_| found.next().is_some()).map(|entry| SuppressionCursor {
            channel: entry.channel,
            address: entry.address.clone(),
            reason: entry.reason,
            list: entry.list.clone(),
        });
        Ok(SuppressionPage { entries, next_cursor })
    }

    async fn carry_out_undos(&self, now: Timestamp) -> Result<Undone, StoreError> {
        let mut state = self.state();
        let list = &mut state.suppressions;
        list.undos.retain(|undo| !undo.is_over(now));
        let undos = list.undos.clone();
        let lifted = undos.iter().map(|undo| list.carry_out(undo, now)).sum();
        Ok(Undone { undos, lifted })
    }
}
