//! Many messages in one accept: all of them, or none.

use std::collections::HashSet;

use ums_core::{MessageId, NewMessage, Stored, TenantId};

/// What is seen of a batch while it is looked through.
#[derive(Default)]
pub(crate) struct Twins<'a> {
    keys: HashSet<(&'a TenantId, &'a str)>,
    ids: HashSet<(&'a TenantId, MessageId)>,
}

impl<'a> Twins<'a> {
    /// What becomes of a message: what an earlier request made of it, else new. The second message of one batch
    /// under one key is a conflict: it cannot be a replay of what is not stored yet.
    pub(crate) fn answer(&mut self, new: &'a NewMessage, earlier: Option<Stored>) -> Stored {
        let tenant = &new.message.tenant;
        let key = new.idempotency.as_ref().map(|idempotency| idempotency.key.as_str());
        let is_first = key.is_none_or(|key| self.keys.insert((tenant, key)));
        let is_first = self.ids.insert((tenant, new.message.id)) && is_first;
        match earlier {
            Some(earlier) => earlier,
            None if is_first => Stored::New,
            None => Stored::KeyConflict,
        }
    }
}

/// Whether a batch is to be stored.
pub(crate) fn is_new(answers: &[Stored]) -> bool {
    answers.iter().all(|answer| *answer == Stored::New)
}
