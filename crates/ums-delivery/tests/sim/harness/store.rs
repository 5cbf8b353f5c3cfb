//! The store port of one process, over the shared ledger: calls may be refused, delayed, or lose their answer.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use ums_core::{
    AccountId, BreakerRecord, Content, Lease, MessageFilter, MessageId, MessagePage, MessageRecord, NewMessage, PaceGrant, PaceRequest,
    ProviderKind, Pruned, Recovered, Retention, Room, Step, Store, StoreError, Stored, TenantId, Timestamp,
};

use super::ledger::{self, LEASE};
use super::steps;
use super::world::{SECOND, Shared, World};

/// What the weather makes of one call.
enum Fate {
    /// Done at once.
    Plain,
    /// Not done.
    Refused,
    /// Done or not, and nobody is told.
    Lost { done: bool },
    /// Done after a while, answered after another; perhaps not told.
    Slow { before: u64, after: u64, lost: bool },
}

/// One process's store.
pub(crate) struct SimStore {
    shared: Shared,
    process: (usize, u64),
    /// The process's registration, as it was last told.
    owner: AtomicI64,
    alone: bool,
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimStore({:?})", self.process)
    }
}

fn fault() -> Box<dyn std::error::Error + Send + Sync> {
    "simulated".into()
}

fn unavailable() -> StoreError {
    StoreError::Unavailable(fault())
}

fn wait_of(world: &mut World) -> u64 {
    let (low, high) = world.chance.weighted(&[
        (60, (1, SECOND / 10)),
        (25, (SECOND / 10, 2 * SECOND)),
        (12, (2 * SECOND, 8 * SECOND)),
        (3, (8 * SECOND, 70 * SECOND)),
    ]);
    world.chance.between(low, high)
}

fn fate(world: &mut World, writes: bool) -> Fate {
    let weather = world.weather;
    if weather.out || world.chance.happens(weather.refused) {
        Fate::Refused
    } else if world.chance.happens(weather.delayed) {
        Fate::Slow {
            before: if world.chance.happens(500) { wait_of(world) } else { 0 },
            after: if world.chance.happens(500) { wait_of(world) } else { 0 },
            lost: writes && world.chance.happens(weather.lost),
        }
    } else if writes && world.chance.happens(weather.lost) {
        Fate::Lost {
            done: world.chance.happens(500),
        }
    } else {
        Fate::Plain
    }
}

impl SimStore {
    /// Opens the store for a process.
    pub(crate) fn open(shared: &Shared, process: (usize, u64), alone: bool) -> Self {
        let owner = {
            let mut world = shared.lock();
            let now = world.now();
            world.ledger.register(process, now)
        };
        Self {
            shared: shared.clone(),
            process,
            owner: AtomicI64::new(owner),
            alone,
        }
    }

    /// The process's registration.
    pub(crate) fn owner(&self) -> i64 {
        self.owner.load(Ordering::Relaxed)
    }

    /// Does something to the world, as the weather lets it.
    pub(super) async fn through<T: Send + 'static>(
        &self,
        writes: bool,
        act: impl FnOnce(&mut World) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let answer = {
            let mut world = self.shared.lock();
            match fate(&mut world, writes) {
                Fate::Plain => return act(&mut world),
                Fate::Refused => return Err(unavailable()),
                Fate::Lost { done } => {
                    world.tally.lost_answers += 1;
                    let by = self.process.0;
                    world.note([5, u64::from(done), by as u64], || {
                        format!("store: an answer to process {by} is lost, done: {done}")
                    });
                    return if done { act(&mut world).and(Err(lost())) } else { Err(lost()) };
                }
                Fate::Slow { before, after, lost } => slowly(&mut world, self.process.0, (before, after, lost), act),
            }
        };
        answer.await.unwrap_or_else(|_| Err(unavailable()))
    }
}

fn lost() -> StoreError {
    StoreError::CommitUnknown(fault())
}

/// Does it after a while, whatever becomes of the process, and answers after another.
fn slowly<T: Send + 'static>(
    world: &mut World,
    process: usize,
    (before, after, is_lost): (u64, u64, bool),
    act: impl FnOnce(&mut World) -> Result<T, StoreError> + Send + 'static,
) -> oneshot::Receiver<Result<T, StoreError>> {
    let (answer, answered) = oneshot::channel();
    let happening = move |world: &mut World| {
        let done = if world.weather.out { Err(unavailable()) } else { act(world) };
        let told = if is_lost {
            world.tally.lost_answers += 1;
            done.and(Err(lost()))
        } else {
            done
        };
        let tell = move |world: &mut World| {
            world.wake(process);
            // The process may be gone.
            drop(answer.send(told));
        };
        world.later(after, Box::new(tell));
    };
    world.later(before, Box::new(happening));
    answered
}

#[async_trait]
impl Store for SimStore {
    fn is_durable(&self) -> bool {
        true
    }

    fn is_shared(&self) -> bool {
        !self.alone
    }

    async fn accept(&self, new: NewMessage) -> Result<Stored, StoreError> {
        let owner = self.owner();
        self.through(true, move |world| Ok(ledger::accept_all(world, owner, vec![new])?[0]))
            .await
    }

    async fn accept_all(&self, new: Vec<NewMessage>) -> Result<Vec<Stored>, StoreError> {
        let owner = self.owner();
        self.through(true, move |world| ledger::accept_all(world, owner, new)).await
    }

    async fn record(&self, step: Step) -> Result<(), StoreError> {
        let owner = self.owner();
        self.through(true, move |world| steps::record(world, owner, step)).await
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        let tenant = tenant.clone();
        self.through(false, move |world| Ok(world.ledger.message(&tenant, id))).await
    }

    async fn content(&self, tenant: &TenantId, id: MessageId) -> Result<Option<Content>, StoreError> {
        let record = self.message(tenant, id).await?;
        Ok(record.map(|record| record.message.content.clone()))
    }

    async fn messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        cursor: Option<MessageId>,
        limit: usize,
    ) -> Result<MessagePage, StoreError> {
        let (tenant, status) = (tenant.clone(), filter.status);
        self.through(false, move |world| {
            let rows = world.ledger.rows.values().rev().map(|row| &row.record);
            let mut found = rows.filter(|record| {
                record.message.tenant == tenant
                    && status.is_none_or(|status| record.status == status)
                    && cursor.is_none_or(|cursor| record.message.id < cursor)
            });
            let messages: Vec<_> = found.by_ref().take(limit).cloned().collect();
            let more = found.next().is_some();
            let next_cursor = messages.last().filter(|_| more).map(|record| record.message.id);
            Ok(MessagePage { messages, next_cursor })
        })
        .await
    }

    async fn claim_due(&self, now: Timestamp, room: Room) -> Result<Vec<MessageRecord>, StoreError> {
        let owner = self.owner();
        self.through(true, move |world| {
            let claimed = world.ledger.claim(owner, now, room);
            if !claimed.is_empty() {
                world.note([6, claimed.len() as u64, owner.unsigned_abs()], || {
                    let ids: Vec<_> = claimed.iter().map(|record| super::world::short(record.message.id)).collect();
                    format!("store: owner {owner} claimed {ids:?}")
                });
            }
            Ok(claimed)
        })
        .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.through(false, |world| Ok(world.ledger.next_due())).await
    }

    async fn backlog(&self, at_most: u64) -> Result<u64, StoreError> {
        self.through(false, move |world| Ok(world.ledger.backlog(at_most))).await
    }

    async fn renew(&self) -> Result<Lease, StoreError> {
        let (owner, process) = (self.owner(), self.process);
        let renewed = self
            .through(true, move |world| {
                let now = world.now();
                let renewed = world.ledger.renew(owner, process, now);
                if renewed != owner {
                    world.note([7, renewed.unsigned_abs(), 0], || {
                        format!("store: process {} was taken for dead, it is owner {renewed} now", process.0)
                    });
                }
                Ok(renewed)
            })
            .await?;
        self.owner.store(renewed, Ordering::Relaxed);
        Ok(Lease {
            owner: renewed,
            length: Duration::from_micros(LEASE),
        })
    }

    async fn recover(&self, now: Timestamp) -> Result<Recovered, StoreError> {
        let owner = self.owner();
        self.through(true, move |world| Ok(ledger::recover(world, owner, now))).await
    }

    async fn under_way(&self, limit: usize) -> Result<Vec<(TenantId, MessageId)>, StoreError> {
        let owner = self.owner();
        self.through(false, move |world| Ok(world.ledger.under_way(owner, limit))).await
    }

    async fn give_back(&self, messages: &[(TenantId, MessageId)], now: Timestamp) -> Result<Recovered, StoreError> {
        let (owner, messages) = (self.owner(), messages.to_vec());
        self.through(true, move |world| Ok(ledger::give_back(world, owner, &messages, now)))
            .await
    }

    async fn prune(&self, _: Retention, _: Timestamp, _: usize) -> Result<Pruned, StoreError> {
        // What is judged at the end must be there.
        Ok(Pruned::default())
    }

    async fn save_breaker(&self, record: BreakerRecord) -> Result<(), StoreError> {
        let owner = self.owner();
        self.through(true, move |world| {
            world.ledger.save_breaker(record, owner);
            Ok(())
        })
        .await
    }

    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError> {
        self.through(false, |world| Ok(world.ledger.breakers.values().cloned().collect()))
            .await
    }

    async fn lease_probe(&self, provider: ProviderKind, _: &AccountId, length: Duration) -> Result<bool, StoreError> {
        let owner = self.owner();
        let length = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        self.through(true, move |world| {
            let now = world.now();
            Ok(world.ledger.lease_probe(owner, provider, now.saturating_add(length), now))
        })
        .await
    }

    async fn reserve_pace(&self, request: PaceRequest) -> Result<PaceGrant, StoreError> {
        self.through(true, move |_| Ok(PaceGrant::Granted(request.units))).await
    }

    async fn recipients_sent_since(&self, provider: ProviderKind, account: &AccountId, since: Timestamp) -> Result<u64, StoreError> {
        let account = account.clone();
        self.through(false, move |world| Ok(world.ledger.sent_since(provider, &account, since)))
            .await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.through(false, |_| Ok(())).await
    }

    async fn close(&self, _: Duration) {
        let mut world = self.shared.lock();
        world.ledger.owners.remove(&self.owner());
    }
}
