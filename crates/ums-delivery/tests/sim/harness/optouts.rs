//! Who must not be contacted, by the simulated store: entries and lifts in the order in which they were committed.

use std::collections::BTreeMap;

use ums_core::{
    AttemptId, Channel, Lift, ListName, Message, MustNotContact, RecipientRecord, RecipientSet, Suppression, SuppressionReason, TenantId,
    Timestamp, Undo, Undone,
};

use super::ledger::Flaw;
use super::world::World;

type Key = (TenantId, String, SuppressionReason, Option<ListName>);

/// An entry, and which write brought it into force.
#[derive(Clone, Debug)]
struct OptOut {
    entry: Suppression,
    number: u64,
}

/// The list, and the writes that matter to it, numbered.
#[derive(Debug, Default)]
pub(crate) struct OptOuts {
    kept: BTreeMap<Key, OptOut>,
    intents: BTreeMap<AttemptId, u64>,
    undos: Vec<Undo>,
    writes: u64,
}

impl OptOuts {
    fn number(&mut self) -> u64 {
        self.writes += 1;
        self.writes
    }

    /// Puts an entry on the list; whether it is in force now and was not before.
    pub(crate) fn put(&mut self, entry: Suppression, now: Timestamp) -> bool {
        let number = self.number();
        let key = (entry.tenant.clone(), entry.address.clone(), entry.reason, entry.list.clone());
        let Some(known) = self.kept.get_mut(&key) else {
            let is_new = entry.is_in_force(now);
            self.kept.insert(key, OptOut { entry, number });
            return is_new;
        };
        let was = known.entry.is_in_force(now);
        known.entry.since = known.entry.since.max(entry.since);
        let is_new = !was && known.entry.is_in_force(now);
        if is_new {
            known.number = number;
        }
        is_new
    }

    /// Takes an entry off the list; whether it was in force.
    pub(crate) fn lift(&mut self, lift: Lift, now: Timestamp) -> bool {
        let key = (lift.tenant, lift.address, lift.reason, lift.list);
        self.kept.get_mut(&key).is_some_and(|known| {
            let was = known.entry.is_in_force(now);
            known.entry.lifted_at = known.entry.lifted_at.max(Some(lift.at));
            was && !known.entry.is_in_force(now)
        })
    }

    /// Keeps a decision that entries were a provider's own fault, and carries it out.
    pub(crate) fn decide(&mut self, undo: &Undo, now: Timestamp) {
        self.undos
            .retain(|kept| kept.since != undo.since || kept.provider != undo.provider || kept.origin != undo.origin);
        self.undos.push(undo.clone());
        self.carry_out(undo, now);
    }

    /// Carries out again what was decided.
    pub(crate) fn carry_out_all(&mut self, now: Timestamp) -> Undone {
        self.undos.retain(|undo| !undo.is_over(now));
        let undos = self.undos.clone();
        let lifted = undos.iter().map(|undo| self.carry_out(undo, now)).sum();
        Undone { undos, lifted }
    }

    fn carry_out(&mut self, undo: &Undo, now: Timestamp) -> u64 {
        let meant = |known: &&mut OptOut| undo.concerns(&known.entry) && known.entry.is_in_force(now);
        let lifted = self.kept.values_mut().filter(meant);
        lifted.map(|known| known.entry.lifted_at = Some(now.max(known.entry.since))).count() as u64
    }

    /// The entries in force for these addresses.
    pub(crate) fn in_force(&self, tenant: &TenantId, addresses: &[String], now: Timestamp) -> Vec<Suppression> {
        let of_them = self.kept.values().map(|known| &known.entry);
        let in_force = of_them.filter(|entry| entry.tenant == *tenant && addresses.contains(&entry.address) && entry.is_in_force(now));
        in_force.cloned().collect()
    }

    /// An intent was committed.
    pub(crate) fn intended(&mut self, attempt: AttemptId) {
        let number = self.number();
        self.intents.insert(attempt, number);
    }

    /// Whether somebody is called for whose opt-out from such messages was committed before the intent was.
    pub(crate) fn was_committed_before(&self, message: &Message, address: &str, attempt: AttemptId, now: Timestamp) -> bool {
        let Some(intent) = self.intents.get(&attempt) else { return false };
        let (tenant, occasion) = (&message.tenant, message.handling.occasion());
        self.kept.values().any(|known| {
            let entry = &known.entry;
            entry.tenant == *tenant && entry.address == address && entry.is_in_force(now) && entry.bars(&occasion) && known.number < *intent
        })
    }
}

/// What forbids contacting those recipients who have no outcome.
pub(crate) fn forbids(
    world: &mut World,
    message: &Message,
    (recipients, called): (&[RecipientRecord], RecipientSet),
) -> Option<MustNotContact> {
    if world.ledger.flaw == Some(Flaw::ListNotRead) {
        return None;
    }
    let places = recipients.iter().enumerate();
    let open = places.filter(|(place, recipient)| !recipient.status.is_final() && called.contains(*place));
    let addresses: Vec<String> = open
        .map(|(_, recipient)| ums_core::suppression_address(Channel::Email, &recipient.address))
        .collect();
    let mut entries = world.ledger.optouts.in_force(&message.tenant, &addresses, world.wall());
    // Nobody is kept from a receipt or a code by having unsubscribed.
    let occasion = message.handling.occasion();
    entries.retain(|entry| entry.bars(&occasion));
    let found = (!entries.is_empty()).then_some(MustNotContact {
        message_id: message.id,
        entries,
    });
    world.tally.opted_out += u64::from(found.is_some());
    found
}
