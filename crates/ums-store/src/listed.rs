//! Rules that every implementation shares: what follows from reports about an address, in whatever order they come, and whom a step
//! would contact.

use std::collections::{BTreeMap, BTreeSet};

use ums_core::{
    AttemptOutcome, AttemptRecord, Channel, Lift, ListChange, ListName, ListNotice, MessageId, MustNotContact, NewMessage, Notice,
    Occasion, RecipientRecord, RecipientSet, Step, Suppression, SuppressionFilter, SuppressionReason, SuppressionScope, Timestamp, Work,
    spellings, suppression_address,
};

/// What is known of one address for one reason: the entry, if one was reported, and the last lift.
#[derive(Clone, Default)]
pub(crate) struct Listed {
    /// None when only a lift came so far. Its own `lifted_at` is of no meaning.
    entry: Option<Suppression>,
    lifted_at: Option<Timestamp>,
}

impl Listed {
    /// The entry, if there is one.
    pub(crate) fn entry(&self) -> Option<Suppression> {
        let entry = self.entry.clone()?;
        Some(Suppression {
            lifted_at: self.lifted_at,
            ..entry
        })
    }

    /// The entry without its lift, and the lift.
    pub(crate) fn parts(&self) -> (Option<&Suppression>, Option<Timestamp>) {
        (self.entry.as_ref(), self.lifted_at)
    }

    pub(crate) fn is_in_force(&self, now: Timestamp) -> bool {
        self.entry().is_some_and(|entry| entry.is_in_force(now))
    }

    /// Puts an entry on the list: the later one counts, of two from the same time the one that ends later.
    pub(crate) fn put(&mut self, new: Suppression) {
        self.lifted_at = self.lifted_at.max(new.lifted_at);
        let rank = |entry: &Suppression| (entry.since, entry.expires_at.is_none(), entry.expires_at);
        if self.entry.as_ref().is_none_or(|kept| rank(&new) > rank(kept)) {
            self.entry = Some(new);
        }
    }

    pub(crate) fn lift(&mut self, at: Timestamp) {
        self.lifted_at = self.lifted_at.max(Some(at));
    }
}

/// An entry with its address in the form in which the list keeps addresses, and a mailing list only where its reason may have one.
pub(crate) fn put_in_form(mut entry: Suppression) -> Suppression {
    entry.address = suppression_address(entry.channel, &entry.address);
    entry.list = entry.list.filter(|_| is_of_lists(entry.reason));
    entry
}

/// The lifts that a lift is: one for each spelling of its subscriber.
pub(crate) fn lifts_in_form(lift: &Lift) -> impl Iterator<Item = Lift> {
    let named = lift.list.clone().filter(|_| is_of_lists(lift.reason));
    spellings(lift.channel, &lift.address).into_iter().map(move |address| Lift {
        address,
        list: named.clone(),
        ..lift.clone()
    })
}

/// Every spelling of addresses, as the list may keep them.
pub(crate) fn all_spellings<'a>(channel: Channel, addresses: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    addresses.into_iter().flat_map(|address| spellings(channel, address)).collect()
}

/// Every spelling of the address that a filter asks for, in a channel; none if the filter asks for all addresses.
pub(crate) fn filtered_spellings(filter: &SuppressionFilter, channel: Channel) -> Option<Vec<String>> {
    filter.address.as_deref().map(|address| spellings(channel, address))
}

/// Whether entries for that reason may be of one mailing list.
pub(crate) const fn is_of_lists(reason: SuppressionReason) -> bool {
    matches!(reason.scope(), SuppressionScope::Bulk)
}

/// The mailing list as a key has it: empty for all lists.
pub(crate) fn list_key(list: Option<&ListName>) -> &str {
    list.map_or("", ListName::as_str)
}

/// Whether a lift is kept although nothing is there that it takes back: that may be reported later.
pub(crate) const fn is_kept_alone(reason: SuppressionReason) -> bool {
    match reason {
        SuppressionReason::Stop | SuppressionReason::Unsubscribe => true,
        SuppressionReason::HardBounce | SuppressionReason::Complaint | SuppressionReason::Manual => false,
    }
}

/// A call to a provider that is made, now or later, on the strength of what is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) channel: Channel,
    /// Whom it is for, as far as they are open.
    pub(crate) recipients: RecipientSet,
}

/// The addresses that a call would contact, in every spelling.
pub(crate) fn to_contact(call: Call, recipients: &[RecipientRecord]) -> BTreeSet<String> {
    let places = recipients.iter().enumerate();
    let contacted = places.filter(|(place, recipient)| !recipient.status.is_final() && call.recipients.contains(*place));
    all_spellings(call.channel, contacted.map(|(_, recipient)| &recipient.address))
}

/// The addresses that a message to be stored would contact; none when it has ended. Its intent may be for some of its open recipients.
pub(crate) fn contacts_of(new: &NewMessage) -> BTreeSet<String> {
    if new.work == Work::Ended && new.intent.is_none() {
        return BTreeSet::new();
    }
    let call = Call {
        channel: new.message.content.channel(),
        recipients: new.intent.as_ref().map_or(RecipientSet::NOT_RECORDED, |intent| intent.recipients),
    };
    to_contact(call, &new.recipients)
}

/// The call that follows a step; none when it makes no intent, or ends the message.
pub(crate) fn call_after(step: &Step) -> Option<Call> {
    let is_intent = |attempt: &&AttemptRecord| attempt.outcome == AttemptOutcome::Calling;
    let intent = step.attempts.iter().find(is_intent).filter(|_| step.work != Work::Ended)?;
    Some(Call {
        channel: intent.provider.channel(),
        recipients: intent.recipients,
    })
}

/// The notices of those changes of the list that had an effect.
pub(crate) fn told(notices: &[ListNotice], suppressed: &[bool], lifted: &[bool]) -> Vec<Notice> {
    let had_effect = |of| match of {
        ListChange::Suppressed(place) => suppressed.get(place) == Some(&true),
        ListChange::Lifted(place) => lifted.get(place) == Some(&true),
    };
    let told = notices.iter().filter(|notice| had_effect(notice.of));
    told.map(|notice| notice.notice.clone()).collect()
}

/// What is known of addresses, by address, reason and mailing list.
pub(crate) type Listing = BTreeMap<(String, &'static str, String), Listed>;

/// The key of an entry in a listing.
pub(crate) fn listing_key(address: &str, reason: SuppressionReason, list: Option<&ListName>) -> (String, &'static str, String) {
    (address.to_owned(), reason.as_str(), list_key(list).to_owned())
}

/// What forbids a call after a step, given what is on the list for these addresses before it: the step's own entries and lifts count.
pub(crate) fn forbids(
    step: &Step,
    channel: Channel,
    addresses: &BTreeSet<String>,
    mut listing: Listing,
    now: Timestamp,
) -> Option<MustNotContact> {
    let concerns = |other: Channel, address: &String| other == channel && addresses.contains(address);
    for entry in step.suppress.iter().cloned().map(put_in_form) {
        if concerns(entry.channel, &entry.address) && entry.tenant == step.tenant {
            let key = listing_key(&entry.address, entry.reason, entry.list.as_ref());
            listing.entry(key).or_default().put(entry);
        }
    }
    for lift in step.lift.iter().flat_map(lifts_in_form) {
        if concerns(lift.channel, &lift.address) && lift.tenant == step.tenant {
            let key = listing_key(&lift.address, lift.reason, lift.list.as_ref());
            listing.entry(key).or_default().lift(lift.at);
        }
    }
    must_not_contact(step.message_id, &step.occasion, &listing, now)
}

/// The answer for a message some of whose recipients are listed with entries that bar it.
pub(crate) fn must_not_contact(message_id: MessageId, occasion: &Occasion, listing: &Listing, now: Timestamp) -> Option<MustNotContact> {
    let in_force = listing.values().filter(|listed| listed.is_in_force(now)).filter_map(Listed::entry);
    let entries: Vec<Suppression> = in_force.filter(|entry| entry.bars(occasion)).collect();
    (!entries.is_empty()).then_some(MustNotContact { message_id, entries })
}
