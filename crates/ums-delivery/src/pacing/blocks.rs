//! The pace of an account that several processes share: each process spends from blocks that the store has granted to it alone.
//!
//! A block is a quarter of a second's limit, or a five-hundredth of a day's if that is less. The process requests the next block in the
//! background when half of a block is spent, so that a message usually waits for nothing. All processes together send to no more
//! recipients than the store grants, each process at most a block later than its grant. A process that dies wastes the rest of its block
//! and exceeds nothing.
//!
//! While the store does not answer, the process spends the rest of its block; after that the account counts as paced.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use ums_core::{AccountId, Clock, Monotonic, PaceGrant, PaceRequest, ProviderKind, SkipReason, Store};

use super::settings::{OverPace, PaceSettings};

/// Number of blocks that a second is cut into, and a day.
const BLOCKS_A_SECOND: u32 = 4;
const BLOCKS_A_DAY: u32 = 500;
/// Longest wait for the answer of the store, and the wait until the next request when the store did not answer.
const LONGEST_ANSWER: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_secs(1);
/// While a message wants more, the background task waits for the end of a refusal that is no longer than this.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// The granted room of one account.
#[derive(Debug)]
pub(crate) struct Blocks {
    provider: ProviderKind,
    account: AccountId,
    settings: PaceSettings,
    /// Size of a block, in recipients.
    block: u32,
    hand: Mutex<Hand>,
    /// Number of answers of the store, for those who wait for the next one.
    answers: watch::Sender<u64>,
}

/// The rest of the granted room.
#[derive(Debug, Default)]
struct Hand {
    /// Recipients that may still be sent to.
    units: u32,
    /// Recipients of the largest message that found too little room.
    wanted: u32,
    /// Whether a request to the store is under way.
    asking: bool,
    /// The refusal of the store, and the time at which it ends.
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

    /// Time until the store has room in the day again; none while this process has room in hand, or was not refused for the day.
    pub(crate) fn day_is_used_up(&self, now: Monotonic) -> Option<Duration> {
        let hand = self.hand();
        let (reason, until) = hand.over?;
        (reason == SkipReason::DayLimit && until > now && hand.units == 0).then(|| until.since(now))
    }

    /// The verdict on an account whose grant did not come in time.
    pub(crate) fn late() -> OverPace {
        OverPace {
            reason: SkipReason::Paced,
            wait: AGAIN,
        }
    }

    /// Refunds room of the day for recipients whom the provider surely did not get. At most a block stays in hand.
    pub(crate) fn refund(&self, units: u32) {
        if self.settings.per_day.is_some() {
            let mut hand = self.hand();
            hand.units = hand.units.saturating_add(units).min(self.block.max(hand.units));
        }
    }

    /// Requests the next block from the store; again while a message wants more and the store announces room within [`SHORT_WAIT`].
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

    /// Recipients to request: up to a full block in hand, or up to the need of the largest message. None ends the request.
    fn missing(&self) -> Option<u32> {
        let mut hand = self.hand();
        let missing = self.block.max(hand.wanted).saturating_sub(hand.units);
        if missing == 0 {
            hand.asking = false;
            hand.wanted = 0;
        }
        (missing > 0).then_some(missing)
    }

    /// Notes the answer of the store. The wait until the next request, if one is needed.
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
