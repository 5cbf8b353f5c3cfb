//! The pace of an account that several processes share: each spends from blocks that the store has reserved for it alone.
//!
//! A block is a quarter of a second's worth. The next one is asked for in the background when half of it is gone, so that a
//! message usually waits for nothing. All processes together hand over no more than the store grants, and each at most a block
//! later than it was granted; a process that dies wastes the block that it had in hand, and exceeds nothing.
//!
//! While the store cannot be asked, what is in hand is spent and no more: then the account counts as paced.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use ums_core::{AccountId, Clock, Monotonic, PaceGrant, PaceRequest, ProviderKind, SkipReason, Store};

use super::settings::{OverPace, PaceSettings};

/// Blocks of a second's worth, and of a day's.
const BLOCKS_A_SECOND: u32 = 4;
const BLOCKS_A_DAY: u32 = 500;
/// Longest wait for the store's answer, and the wait until it is asked again when it did not answer.
const LONGEST_ANSWER: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_secs(1);
/// A refusal for no longer than this is waited for in the background while somebody wants more.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// One account's reserved room.
#[derive(Debug)]
pub(crate) struct Blocks {
    provider: ProviderKind,
    account: AccountId,
    settings: PaceSettings,
    /// Recipients of a block.
    block: u32,
    hand: Mutex<Hand>,
    /// Counts the store's answers.
    answers: watch::Sender<u64>,
}

/// What is in hand.
#[derive(Debug, Default)]
struct Hand {
    /// Recipients that may be handed over.
    units: u32,
    /// What the largest message needs that found too little.
    wanted: u32,
    /// Whether the store is being asked.
    asking: bool,
    /// The store's refusal, and until when it holds.
    over: Option<(SkipReason, Monotonic)>,
}

/// What a request for room came to.
#[derive(Debug)]
pub(crate) enum Reservation {
    /// The room is reserved.
    Reserved,
    /// The account has no room now.
    Over(OverPace),
    /// The store was asked for more; the receiver changes with its answer.
    Asked(watch::Receiver<u64>),
}

impl Blocks {
    pub(crate) fn new(settings: PaceSettings, provider: ProviderKind, account: AccountId) -> Self {
        let of_second = settings.per_second.map(|rate| rate.get() / BLOCKS_A_SECOND);
        let of_day = settings.per_day.map(|limit| limit.get() / BLOCKS_A_DAY);
        let block = of_second.into_iter().chain(of_day).min().unwrap_or(0).max(1);
        Self {
            provider,
            account,
            settings,
            block,
            hand: Mutex::default(),
            answers: watch::Sender::new(0),
        }
    }

    fn hand(&self) -> MutexGuard<'_, Hand> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves room for that many recipients. The flag says whether the caller must start [`Blocks::refill`].
    pub(crate) fn reserve(&self, units: u32, now: Monotonic) -> (Reservation, bool) {
        let mut hand = self.hand();
        let over = hand.over.filter(|(_, until)| *until > now);
        if hand.units >= units {
            hand.units -= units;
            let ask = hand.units <= self.block / 2 && over.is_none() && !hand.asking;
            hand.asking |= ask;
            return (Reservation::Reserved, ask);
        }
        hand.wanted = hand.wanted.max(units);
        if let Some((reason, until)) = over {
            let wait = until.since(now);
            return (Reservation::Over(OverPace { reason, wait }), false);
        }
        let ask = !hand.asking;
        hand.asking = true;
        (Reservation::Asked(self.answers.subscribe()), ask)
    }

    /// The answer did not come in time.
    pub(crate) fn late() -> OverPace {
        OverPace {
            reason: SkipReason::Paced,
            wait: AGAIN,
        }
    }

    /// Takes back room of the day for a message that surely was not sent; no more than a block is kept in hand.
    pub(crate) fn refund(&self, units: u32) {
        if self.settings.per_day.is_some() {
            let mut hand = self.hand();
            hand.units = hand.units.saturating_add(units).min(self.block.max(hand.units));
        }
    }

    /// Asks the store for the next block; goes on as long as more is wanted and the store says that there will be some soon.
    pub(crate) async fn refill(self: Arc<Self>, store: Arc<dyn Store>, clock: Arc<dyn Clock>) {
        while let Some(units) = self.missing() {
            let request = PaceRequest {
                provider: self.provider,
                account: self.account.clone(),
                units,
                per_second: self.settings.per_second,
                per_day: self.settings.per_day,
            };
            let answer = tokio::time::timeout(LONGEST_ANSWER, store.reserve_pace(request)).await;
            let grant = match answer {
                Ok(Ok(grant)) => grant,
                Ok(Err(error)) => self.not_reached(&error),
                Err(late) => self.not_reached(&late),
            };
            let again = self.answered(grant, clock.monotonic());
            self.answers.send_modify(|answers| *answers = answers.wrapping_add(1));
            match again {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return,
            }
        }
    }

    fn not_reached(&self, error: &dyn std::fmt::Display) -> PaceGrant {
        tracing::warn!(provider = %self.provider, %error, "no room in the pace was reserved; what is in hand is spent, and no more");
        PaceGrant::Paced(AGAIN)
    }

    /// What the store is to be asked for: a full block in hand, or what the largest message needs.
    fn missing(&self) -> Option<u32> {
        let mut hand = self.hand();
        let missing = self.block.max(hand.wanted).saturating_sub(hand.units);
        if missing == 0 {
            hand.asking = false;
            hand.wanted = 0;
        }
        (missing > 0).then_some(missing)
    }

    /// Notes the store's answer; after how long it is to be asked again, if at all.
    fn answered(&self, grant: PaceGrant, now: Monotonic) -> Option<Duration> {
        let mut hand = self.hand();
        let (reason, wait) = match grant {
            PaceGrant::Granted(0) => (SkipReason::Paced, AGAIN),
            PaceGrant::Granted(units) => {
                hand.over = None;
                hand.units = hand.units.saturating_add(units);
                let enough = hand.units >= hand.wanted;
                if enough {
                    hand.wanted = 0;
                    hand.asking = false;
                }
                return (!enough).then_some(Duration::ZERO);
            }
            PaceGrant::Paced(wait) => (SkipReason::Paced, wait),
            PaceGrant::DayLimit(wait) => (SkipReason::DayLimit, wait),
        };
        hand.over = Some((reason, now + wait));
        let again = hand.wanted > 0 && reason == SkipReason::Paced && wait <= SHORT_WAIT;
        hand.asking = again;
        if !again {
            hand.wanted = 0;
        }
        again.then_some(wait)
    }
}
