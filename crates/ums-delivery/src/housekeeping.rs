//! The chores of the engine: keep the time, recover the messages of dead processes, requeue messages of lost commits, count the backlog, prune the store.
//!
//! One task does one chore at a time, so that the chores never load the store together.

mod timekeeping;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use ums_core::{MessageId, Retention, StoreError, TenantId, Undone, failpoint};

use self::timekeeping::Timekeeping;
pub(crate) use self::timekeeping::begin as begin_timekeeping;
use crate::breaker::Now;
use crate::chain::Chains;
use crate::desk::Desk;
use crate::dispatch::Dispatch;
use crate::ports::Ports;
use crate::rejection::cause_of;

/// Most messages that one reconciliation compares, and most rows that one pruning removes.
const UNDER_WAY: usize = 10_000;
const PRUNE: usize = 500;
/// Pause between two removals while more rows are due: writers wait behind each removal.
const PRUNE_PAUSE: Duration = Duration::from_millis(200);
/// Longest wait for the end of a claim, before a reconciliation is put off.
const CLAIM_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chore {
    KeepTime,
    Recover,
    Reconcile,
    Backlog,
    Prune,
}

/// Keeps house until the engine closes.
pub(crate) async fn run(dispatch: Arc<Dispatch>) {
    let desk = &*dispatch.desk;
    let chores = desk.rules.chores;
    let start = Instant::now();
    let mut due = [
        (start, Chore::KeepTime),
        (start + chores.recover, Chore::Recover),
        (start + chores.reconcile, Chore::Reconcile),
        (start, Chore::Backlog),
        (start + chores.prune, Chore::Prune),
    ];
    let mut suspects = HashSet::new();
    let mut timekeeping = Timekeeping::default();
    loop {
        due.sort_by_key(|(at, _)| *at);
        let (at, chore) = due[0];
        tokio::select! {
            biased;
            () = desk.ports.closing.cancelled() => return,
            () = tokio::time::sleep_until(at) => {}
        }
        let (done, again) = match chore {
            Chore::KeepTime => (timekeeping.look(desk).await, chores.recover),
            Chore::Recover => (recover(desk).await, chores.recover),
            Chore::Reconcile => (reconcile(&dispatch, &mut suspects).await, chores.reconcile),
            Chore::Backlog => (desk.queue.count(&*desk.ports.store, desk.rules.max_backlog).await, chores.backlog),
            Chore::Prune => match prune(desk).await {
                Ok(true) => (Ok(()), PRUNE_PAUSE),
                Ok(false) => (Ok(()), chores.prune),
                Err(error) => (Err(error), chores.prune),
            },
        };
        if let Err(error) = done {
            tracing::warn!(?chore, %error, "the store was not kept in order; trying again later");
        }
        due[0].0 = Instant::now() + again;
    }
}

/// Requeues the messages of dead processes. When the sending process is gone, this one may become the sender.
async fn recover(desk: &Desk) -> Result<(), StoreError> {
    let was_owner = desk.ports.store.is_owner();
    let recovered = desk.ports.store.recover(desk.now()).await?;
    failpoint::pass("recover.committed");
    if recovered.requeued + recovered.unknown > 0 {
        tracing::info!(
            requeued = recovered.requeued,
            unknown = recovered.unknown,
            "took up messages of another process"
        );
        desk.queue.wake();
    }
    if !was_owner && desk.ports.store.is_owner() {
        tracing::info!("this process sends from the store now");
        desk.queue.wake();
    }
    carry_out_undos(&desk.ports, &desk.chains).await
}

/// Carries out again what any process decided to undo. The account of a decision is misconfigured: the process may have died before its
/// breaker was kept.
pub(crate) async fn carry_out_undos(ports: &Ports, chains: &Chains) -> Result<(), StoreError> {
    let Undone { undos, lifted } = ports.store.carry_out_undos(ports.clock.now()).await?;
    if lifted > 0 {
        tracing::warn!(
            lifted,
            "addresses that a provider refused by its own fault are off the suppression list"
        );
    }
    if undos.is_empty() {
        return Ok(());
    }
    let breakers = ports.store.breakers().await?;
    for undo in undos {
        let mut kept = breakers
            .iter()
            .filter(|kept| kept.provider == undo.provider && kept.account == undo.account);
        if kept.all(|kept| kept.changed_at < undo.at) {
            chains.blame(&undo, &cause_of(&undo), Now::read(&*ports.clock));
        }
    }
    Ok(())
}

/// Requeues messages that the store assigns to this process and that are not in hand here, at the second look. One look could meet a
/// message between its commit and its task.
async fn reconcile(dispatch: &Dispatch, suspects: &mut HashSet<MessageId>) -> Result<(), StoreError> {
    let desk = &*dispatch.desk;
    if !desk.ports.store.is_owner() {
        return Ok(());
    }
    // A message of a claim under way would look lost.
    let Ok(claiming) = tokio::time::timeout(CLAIM_PATIENCE, dispatch.claiming.lock()).await else {
        return Ok(());
    };
    let under_way = desk.ports.store.under_way(UNDER_WAY).await?;
    // Compared after the read: an accepted message is in hand before the store has it.
    let astray = |(_, id): &&(TenantId, MessageId)| !desk.in_hand.holds(*id);
    let lost: Vec<(TenantId, MessageId)> = under_way
        .iter()
        .filter(astray)
        .filter(|(_, id)| suspects.contains(id))
        .cloned()
        .collect();
    *suspects = under_way.iter().filter(astray).map(|(_, id)| *id).collect();
    if lost.is_empty() {
        return Ok(());
    }
    let recovered = desk.ports.store.give_back(&lost, desk.now()).await?;
    drop(claiming);
    tracing::warn!(
        requeued = recovered.requeued,
        unknown = recovered.unknown,
        "gave back messages whose commit had no known outcome"
    );
    desk.queue.wake();
    Ok(())
}

/// Removes up to [`PRUNE`] rows of each kind whose retention is over, if the time is sure enough. Whether more are due.
async fn prune(desk: &Desk) -> Result<bool, StoreError> {
    if !desk.ports.clock.is_settled() {
        return Ok(false);
    }
    let now = desk.now();
    let retention = Retention {
        bodies_before: now - desk.rules.retention.bodies,
        messages_before: now - desk.rules.retention.messages,
        aftermath_before: now - desk.rules.retention.aftermath,
    };
    let pruned = desk.ports.store.prune(retention, now, PRUNE).await?;
    if pruned.bodies + pruned.messages + pruned.keys + pruned.aftermath > 0 {
        tracing::debug!(
            bodies = pruned.bodies,
            messages = pruned.messages,
            keys = pruned.keys,
            aftermath = pruned.aftermath,
            "removed what need not be kept"
        );
    }
    Ok(pruned.more)
}
