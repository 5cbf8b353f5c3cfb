//! What one transaction writes, table by table, with one statement for each.
//!
//! Only here: SQLite writes row by row in its own process, where a statement costs no round trip.

use std::collections::HashMap;

use ums_core::{EventRecord, ListNotice, MessageId, Step, StoreError, Suppression, TenantId, Timestamp, Undo};

use super::connection::{Fault, Session};
use super::contents::Emptied;
use super::suppressions::{Changes, Contacts};
use super::{acts, attempts, contents, events, idempotency, messages, notices, recipients, skips, suppressions, undos};
use crate::encoded::Encoded;
use crate::listed::Listing;

/// Rows of all tables.
#[derive(Default)]
pub(crate) struct Tables<'a> {
    keys: idempotency::Rows<'a>,
    messages: messages::Rows<'a>,
    moves: messages::Moves<'a>,
    contents: contents::Rows<'a>,
    new_recipients: recipients::Rows<'a>,
    recipients: recipients::Rows<'a>,
    new_attempts: attempts::Rows<'a>,
    attempts: attempts::Rows<'a>,
    skips: skips::Rows<'a>,
    acts: acts::Rows<'a>,
    events: events::Rows<'a>,
    notices: notices::Rows<'a>,
    changes: Changes<'a>,
    undos: Vec<&'a Undo>,
    forgotten: Vec<(TenantId, MessageId)>,
    forgotten_later: contents::Later<'a>,
}

/// What became of it, in numbers, and what is on the suppression list of those who would be contacted.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Whether all that was to be taken, stored and moved was.
    pub(crate) is_whole: bool,
    /// Events.
    pub(crate) kept: events::Kept,
    /// The list, as far as contacts are on it.
    pub(crate) listings: HashMap<(TenantId, MessageId), Listing>,
}

impl<'a> Tables<'a> {
    pub(crate) fn add_new(&mut self, row: &'a Encoded) -> Result<(), StoreError> {
        let new = &row.new;
        let (tenant, id) = (&new.message.tenant, new.message.id);
        if let Some(key) = &new.idempotency {
            self.keys.add(tenant, id, key);
        }
        self.messages.add(new);
        self.contents.add(row);
        self.new_recipients.add(tenant, id, &new.recipients);
        self.new_attempts.add(tenant, id, new.intent.as_slice())?;
        self.skips.add(tenant, id, &new.skips, true);
        self.notices.add(&new.notices);
        Ok(())
    }

    /// Adds a step with those of its events that are given.
    pub(crate) fn add_step(
        &mut self,
        step: &'a Step,
        mark: i64,
        events: impl IntoIterator<Item = &'a EventRecord>,
    ) -> Result<(), StoreError> {
        let (tenant, id) = (&step.tenant, step.message_id);
        self.moves.add(step, mark);
        self.attempts.add(tenant, id, &step.attempts)?;
        self.skips.add(tenant, id, &step.skips, false);
        if let Some(list) = &step.recipients {
            self.recipients.add(tenant, id, list);
        }
        if let Some(act) = &step.act {
            self.acts.add(tenant, id, act);
        }
        if step.forget_body {
            self.forgotten.push((tenant.clone(), id));
        } else if let Some(at) = step.forget_body_at {
            self.forgotten_later.add(tenant, id, at);
        }
        self.events.add(tenant, id, events)?;
        self.notices.add(&step.notices);
        self.change_list(&step.suppress, &step.lift, &step.list_notices);
        self.undos.extend(&step.undo);
        Ok(())
    }

    /// Adds an event without a message, and nothing of what it says besides.
    pub(crate) fn park(&mut self, parked: &'a ums_core::Parked) -> Result<(), StoreError> {
        self.events.park(parked)
    }

    /// Adds changes of the suppression list.
    pub(crate) fn change_list(&mut self, suppress: &'a [Suppression], lift: &'a [ums_core::Lift], notices: &'a [ListNotice]) {
        self.changes.add(suppress, lift, notices);
    }

    /// How a transaction that writes this begins.
    pub(crate) fn begin(&self, contacts: &Contacts<'_>) -> &'static str {
        if !self.changes.is_empty() || !self.undos.is_empty() {
            suppressions::BEGIN_CHANGE
        } else if !contacts.is_empty() {
            suppressions::BEGIN_LOOK
        } else {
            "BEGIN"
        }
    }

    /// How many events are to be kept.
    pub(crate) fn events(&self) -> usize {
        self.events.len()
    }

    /// What remains of the bodies that are to be forgotten; read before the transaction.
    pub(crate) async fn emptied(&self, session: &Session) -> Result<Emptied, Fault> {
        contents::without_bodies(session, &self.forgotten).await
    }

    /// Writes it; `first` is the first statement, if the transaction is not begun yet. None when a message was stored before: then
    /// the transaction has failed.
    pub(crate) async fn write(
        &mut self,
        session: &Session,
        (owner, now): (i64, Timestamp),
        first: Option<&'static str>,
        emptied: &Emptied,
        contacts: &Contacts<'_>,
    ) -> Result<Option<Outcome>, Fault> {
        let keys = self.keys.len();
        // In this order they go out, and the database works on them one after the other.
        let (begun, (taken, stored), contents, new_recipients, new_attempts, moved, recipients, rest, attempts, skips, others) = tokio::join!(
            biased;
            async {
                match first {
                    Some(first) => session.run(first).await,
                    None => Ok(()),
                }
            },
            async { tokio::join!(
                biased;
                idempotency::take(session, &mut self.keys),
                messages::insert(session, owner, &self.messages, now),
            ) },
            contents::insert(session, &self.contents),
            recipients::insert(session, &self.new_recipients),
            attempts::insert(session, &self.new_attempts),
            messages::update(session, owner, &self.moves),
            recipients::replace(session, &self.recipients),
            recipients::remove_rest(session, &self.recipients),
            attempts::upsert(session, &self.attempts),
            skips::append(session, &self.skips),
            async { tokio::join!(
                biased;
                acts::append(session, &self.acts),
                contents::forget_bodies(session, emptied),
                contents::forget_later(session, &self.forgotten_later),
                suppressions::of_contacts(session, contacts),
                async {
                    self.changes.write(session, now).await?;
                    undos::decide(session, &self.undos, now).await
                },
                events::keep(session, &self.events),
                notices::add(session, &self.notices),
            ) },
        );
        begun?;
        if let Err(Fault::Taken(_)) = stored {
            return Ok(None);
        }
        let (taken, stored) = (taken?, stored?);
        for written in [contents, new_recipients, new_attempts] {
            written?;
        }
        let moved = moved?;
        for written in [recipients, rest, attempts, skips] {
            written?;
        }
        let (acts, forgotten, forgotten_later, listings, changed, kept, noticed) = others;
        acts?;
        forgotten?;
        forgotten_later?;
        let listings = listings?;
        changed?;
        let kept = kept?;
        noticed?;
        Ok(Some(Outcome {
            is_whole: taken == keys && stored == self.messages.len() && moved == self.moves.len(),
            kept,
            listings,
        }))
    }
}
