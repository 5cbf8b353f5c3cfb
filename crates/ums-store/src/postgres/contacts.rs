//! Whom the requests of a group would contact, and which of them must not be written because of it.
//!
//! Only here: SQLite looks at the list for one request after the other.

use std::collections::{BTreeSet, HashMap};

use ums_core::{Channel, MessageId, MustNotContact, Step, TenantId, Timestamp};

use super::connection::{Fault, Session};
use super::recipients;
use super::request::{Request, Work};
use super::suppressions::Contacts;
use crate::listed::{self, Call, Listing};

/// A message's key.
type Key = (TenantId, MessageId);

/// What is on the suppression list, message by message.
pub(crate) type Listings = HashMap<Key, Listing>;

/// Recipients of the messages of steps that begin a call and change the list as well: what they change counts for them. Also those of text
/// messages, because the database does not know the spellings of a number.
#[derive(Debug, Default)]
pub(crate) struct Known(HashMap<Key, BTreeSet<String>>);

impl Known {
    /// Reads them, if there are any. A message's recipients are changed with its token only, so it may be read before the
    /// transaction that writes the step.
    pub(crate) async fn read(session: &Session, requests: &[Request]) -> Result<Self, Fault> {
        let mut keys = Vec::new();
        let mut calls = Vec::new();
        for step in requests.iter().filter_map(step) {
            let changes_list = !step.suppress.is_empty() || !step.lift.is_empty();
            if let Some(call) = listed::call_after(step)
                && (changes_list || call.channel == Channel::Sms)
                && step.recipients.is_none()
            {
                keys.push((step.tenant.clone(), step.message_id));
                calls.push(call);
            }
        }
        if keys.is_empty() {
            return Ok(Self::default());
        }
        let recipients = recipients::of(session, &keys).await?;
        let found = keys.into_iter().zip(calls).zip(recipients);
        let addresses = found.map(|((key, call), recipients)| Ok((key, listed::to_contact(call, &recipients?))));
        Ok(Self(addresses.collect::<Result<_, Fault>>()?))
    }

    /// The addresses that a step would contact, as far as they are known without asking the database.
    fn addresses(&self, step: &Step, call: Call) -> Option<BTreeSet<String>> {
        match &step.recipients {
            Some(recipients) => Some(listed::to_contact(call, recipients)),
            None => self.0.get(&(step.tenant.clone(), step.message_id)).cloned(),
        }
    }

    /// Whom requests would contact.
    pub(crate) fn contacts<'a>(&self, requests: &'a [Request]) -> Contacts<'a> {
        let mut contacts = Contacts::default();
        for request in requests {
            match &request.work {
                Work::Accept(rows) => {
                    for message in rows.iter().map(|row| &row.new) {
                        let (tenant, id) = (&message.message.tenant, message.message.id);
                        let channel = message.message.content.channel();
                        contacts.add(tenant, id, channel, listed::contacts_of(message));
                    }
                }
                Work::Record(step, _) => {
                    let Some(call) = listed::call_after(step) else { continue };
                    match self.addresses(step, call) {
                        Some(addresses) => contacts.add(&step.tenant, step.message_id, call.channel, addresses),
                        None => contacts.add_stored(&step.tenant, step.message_id, call),
                    }
                }
            }
        }
        contacts
    }

    /// What forbids a request.
    pub(crate) fn forbids(&self, request: &Request, listings: &Listings, now: Timestamp) -> Vec<MustNotContact> {
        let listing = |tenant: &TenantId, id| listings.get(&(tenant.clone(), id));
        match &request.work {
            Work::Accept(rows) => {
                let listed = rows.iter().filter_map(|row| {
                    let message = &row.new.message;
                    let occasion = message.handling.occasion();
                    listed::must_not_contact(message.id, &occasion, listing(&message.tenant, message.id)?, now)
                });
                listed.collect()
            }
            Work::Record(step, _) => {
                let Some(call) = listed::call_after(step) else {
                    return Vec::new();
                };
                let addresses = self.addresses(step, call).unwrap_or_default();
                let listing = listing(&step.tenant, step.message_id).cloned().unwrap_or_default();
                listed::forbids(step, call.channel, &addresses, listing, now).into_iter().collect()
            }
        }
    }

    /// Whether no request is forbidden.
    pub(crate) fn allows(&self, requests: &[Request], listings: &Listings, now: Timestamp) -> bool {
        // The common case: nobody is listed.
        if listings.is_empty() && requests.iter().filter_map(step).all(|step| step.suppress.is_empty()) {
            return true;
        }
        requests.iter().all(|request| self.forbids(request, listings, now).is_empty())
    }
}

fn step(request: &Request) -> Option<&Step> {
    match &request.work {
        Work::Record(step, _) => Some(step),
        Work::Accept(_) => None,
    }
}
