//! What callers and operators do to a message that nobody works on: cancel, send again, say what became of it.
//!
//! Each act reads the message, has the decision core say what becomes of it, and records one step under the token that was read. When
//! another writer was faster the store refuses the step; then the message is read again.

use ums_core::{MessageId, MessageRecord, Status, StoreError, TenantId};

use crate::desk::Desk;
use crate::fate::{self, Act};
use crate::journal::step_of_act;

/// How often an act is decided anew because another writer was faster.
const TRIES: usize = 5;

/// Why an act came to nothing. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// There is no such message.
    #[error("there is no such message")]
    NotFound,
    /// The message does not stand so that this can be done to it.
    #[error("a message that is {status} cannot be {act}: {why}")]
    NotPossible {
        /// Where it stands.
        status: Status,
        /// What was to be done, as a participle: `cancelled`, `sent again`, `marked as sent`.
        act: &'static str,
        /// Why not, and what to do instead.
        why: &'static str,
    },
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads, decides, records; and again when another writer was faster. The message as it stands afterwards.
pub(crate) async fn act(desk: &Desk, tenant: &TenantId, id: MessageId, act: Act) -> Result<MessageRecord, ActError> {
    for _ in 1..TRIES {
        match act_once(desk, tenant, id, act).await {
            Err(ActError::Store(StoreError::Fenced | StoreError::IllegalMove { .. })) => {}
            done => return done,
        }
    }
    act_once(desk, tenant, id, act).await
}

async fn act_once(desk: &Desk, tenant: &TenantId, id: MessageId, act: Act) -> Result<MessageRecord, ActError> {
    let store = &desk.ports.store;
    let record = store.message(tenant, id).await?.ok_or(ActError::NotFound)?;
    match record_act(desk, &record, act).await {
        Err(ActError::Store(StoreError::NotFound)) => return Err(ActError::NotFound),
        done => done?,
    }
    store.message(tenant, id).await?.ok_or(ActError::NotFound)
}

/// Does an act to a message as it was read.
pub(crate) async fn record_act(desk: &Desk, before: &MessageRecord, act: Act) -> Result<(), ActError> {
    let mut after = before.clone();
    let kept = fate::act(&mut after, act, &desk.rules, desk.now()).map_err(|not_possible| ActError::NotPossible {
        status: before.status,
        act: not_possible.act,
        why: not_possible.why,
    })?;
    let step = step_of_act(desk, before, &after, kept);
    desk.ports.store.record(step).await?;
    desk.count_settled_cost(before, &after);
    Ok(())
}
