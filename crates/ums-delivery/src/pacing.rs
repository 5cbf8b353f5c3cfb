//! The pace of a provider account: most recipients a second, and most recipients in any 24 hours.
//!
//! The limit per second is a token bucket, kept as one number (the theoretical arrival time of the generic cell rate algorithm); the limit
//! per day counts a rolling 24 hours in buckets of half an hour. Where several processes send from one store, the store keeps both limits
//! and grants blocks of recipients.

mod blocks;
mod settings;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ums_core::{AccountId, Monotonic, ProviderKind, SkipReason};

pub(crate) use self::blocks::{Blocks, Reservation};
pub use self::settings::{OverPace, PaceSettings};

const DAY: Duration = Duration::from_hours(24);
const DAY_BUCKET: Duration = Duration::from_mins(30);
/// Buckets of a rolling day, and one more, because the newest bucket is not full yet.
const DAY_BUCKETS: usize = 49;

/// The pace of one provider account.
#[derive(Debug)]
pub struct Pacer {
    settings: PaceSettings,
    /// Microseconds between two recipients, and how far ahead of the clock the bucket may run.
    interval_micros: u64,
    burst_micros: u64,
    arrival_micros: AtomicU64,
    day: Mutex<Day>,
    /// Only where other processes send through the same account.
    blocks: Option<Arc<Blocks>>,
}

#[derive(Debug)]
struct Day {
    counts: [u32; DAY_BUCKETS],
    newest: u64,
}

impl Pacer {
    /// A pace of which nothing is used.
    pub fn new(settings: PaceSettings) -> Self {
        let interval_micros = settings.per_second.map_or(0, |rate| 1_000_000 / u64::from(rate.get()));
        Self {
            settings,
            interval_micros,
            burst_micros: 1_000_000_u64.saturating_sub(interval_micros),
            arrival_micros: AtomicU64::new(0),
            day: Mutex::new(Day {
                counts: [0; DAY_BUCKETS],
                newest: 0,
            }),
            blocks: None,
        }
    }

    /// A pace that other processes on the same store share.
    pub(crate) fn shared(settings: PaceSettings, provider: ProviderKind, account: AccountId) -> Self {
        let paced = settings.per_second.is_some() || settings.per_day.is_some();
        Self {
            blocks: paced.then(|| Arc::new(Blocks::new(settings, provider, account))),
            ..Self::new(PaceSettings::default())
        }
    }

    /// The blocks of a shared pace. [`Pacer::reserve`] ignores them; the caller must reserve from the blocks where they exist.
    pub(crate) fn blocks(&self) -> Option<&Arc<Blocks>> {
        self.blocks.as_ref()
    }

    /// Reserves room for that many recipients.
    ///
    /// # Errors
    /// [`OverPace`] when the account has no room; nothing is reserved then. A message of more recipients than a second allows passes when
    /// the bucket is full; the messages after it wait the longer.
    pub fn reserve(&self, recipients: u32, now: Monotonic) -> Result<(), OverPace> {
        if self.settings.per_day.is_some() {
            self.reserve_day(recipients, now)?;
        }
        self.reserve_second(recipients, now).inspect_err(|_| self.refund(recipients, now))
    }

    /// Refunds room of the day for recipients whom the provider surely did not get. The limit per second is not refunded.
    pub fn refund(&self, recipients: u32, now: Monotonic) {
        if let Some(blocks) = &self.blocks {
            blocks.refund(recipients);
        }
        if self.settings.per_day.is_some() {
            let mut day = self.day();
            day.advance(now);
            let newest = day.index(day.newest);
            if let Some(count) = day.counts.get_mut(newest) {
                *count = count.saturating_sub(recipients);
            }
        }
    }

    /// Adds recipients that earlier processes sent to in the last 24 hours.
    pub fn restore_day(&self, recipients: u32, now: Monotonic) {
        let mut day = self.day();
        day.advance(now);
        let newest = day.index(day.newest);
        if let Some(count) = day.counts.get_mut(newest) {
            *count = count.saturating_add(recipients);
        }
    }

    /// Whether the pace has a limit per day, whose use must be restored after a restart. The store remembers a shared limit itself.
    pub fn has_day_limit(&self) -> bool {
        self.settings.per_day.is_some()
    }

    /// Time until the account has room again; none while its limit of a day is not reached, as far as this process knows.
    pub(crate) fn day_is_used_up(&self, now: Monotonic) -> Option<Duration> {
        if let Some(blocks) = &self.blocks {
            return blocks.day_is_used_up(now);
        }
        let limit = self.settings.per_day?.get();
        let mut day = self.day();
        day.advance(now);
        let used: u32 = day.counts.iter().sum();
        (used >= limit).then(|| day.until_room(used - limit + 1, now))
    }

    fn reserve_second(&self, recipients: u32, now: Monotonic) -> Result<(), OverPace> {
        if self.interval_micros == 0 {
            return Ok(());
        }
        let now_micros = u64::try_from(now.since_start().as_micros()).unwrap_or(u64::MAX);
        let cost = self.interval_micros.saturating_mul(u64::from(recipients));
        let mut arrival = self.arrival_micros.load(Ordering::Relaxed);
        loop {
            let ahead = arrival.saturating_sub(now_micros);
            let full_bucket = ahead == 0;
            if !full_bucket && ahead.saturating_add(cost) > self.burst_micros.saturating_add(self.interval_micros) {
                let wait = (ahead + cost).saturating_sub(self.burst_micros + self.interval_micros).min(ahead);
                return Err(OverPace {
                    reason: SkipReason::Paced,
                    wait: Duration::from_micros(wait.max(1)),
                });
            }
            let next = arrival.max(now_micros).saturating_add(cost);
            match self
                .arrival_micros
                .compare_exchange_weak(arrival, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(changed) => arrival = changed,
            }
        }
    }

    fn reserve_day(&self, recipients: u32, now: Monotonic) -> Result<(), OverPace> {
        let Some(limit) = self.settings.per_day else { return Ok(()) };
        let mut day = self.day();
        day.advance(now);
        let used: u32 = day.counts.iter().sum();
        if used.saturating_add(recipients) > limit.get() {
            return Err(OverPace {
                reason: SkipReason::DayLimit,
                wait: day.until_room(used.saturating_add(recipients) - limit.get(), now),
            });
        }
        let newest = day.index(day.newest);
        if let Some(count) = day.counts.get_mut(newest) {
            *count += recipients;
        }
        Ok(())
    }

    fn day(&self) -> MutexGuard<'_, Day> {
        self.day.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Day {
    #[expect(clippy::unused_self, reason = "reads as a property of the ring")]
    fn index(&self, bucket: u64) -> usize {
        usize::try_from(bucket % DAY_BUCKETS as u64).unwrap_or(0)
    }

    fn bucket(now: Monotonic) -> u64 {
        now.since_start().as_secs() / DAY_BUCKET.as_secs()
    }

    /// Empties the buckets that are older than a day.
    fn advance(&mut self, now: Monotonic) {
        let current = Self::bucket(now);
        let passed = current.saturating_sub(self.newest).min(DAY_BUCKETS as u64);
        for step in 1..=passed {
            let index = self.index(self.newest + step);
            if let Some(count) = self.counts.get_mut(index) {
                *count = 0;
            }
        }
        self.newest = self.newest.max(current);
    }

    /// Time until buckets with that many recipients are older than a day.
    fn until_room(&self, needed: u32, now: Monotonic) -> Duration {
        let mut freed = 0_u32;
        let oldest = (self.newest + 1).saturating_sub(DAY_BUCKETS as u64);
        for bucket in oldest..=self.newest {
            freed = freed.saturating_add(self.counts.get(self.index(bucket)).copied().unwrap_or(0));
            if freed >= needed {
                let gone_at = Duration::from_secs((bucket + DAY_BUCKETS as u64) * DAY_BUCKET.as_secs());
                return gone_at.saturating_sub(now.since_start());
            }
        }
        DAY
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use proptest::prelude::*;

    fn pacer(per_second: u32, per_day: u32) -> Pacer {
        Pacer::new(PaceSettings {
            per_second: NonZeroU32::new(per_second),
            per_day: NonZeroU32::new(per_day),
        })
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_millis(millis))
    }

    #[test]
    fn a_second_lets_its_share_through_and_says_how_long_to_wait() {
        let pacer = pacer(14, 0);
        for _ in 0..14 {
            pacer.reserve(1, at(0)).unwrap();
        }
        let over = pacer.reserve(1, at(0)).unwrap_err();
        assert_eq!(over.reason, SkipReason::Paced);
        assert!(over.wait <= Duration::from_millis(72), "{:?}", over.wait);
        pacer.reserve(1, at(72)).unwrap();
    }

    #[test]
    fn one_a_second_is_one_a_second() {
        let pacer = pacer(1, 0);
        pacer.reserve(1, at(0)).unwrap();
        assert!(pacer.reserve(1, at(999)).is_err());
        pacer.reserve(1, at(1_000)).unwrap();
    }

    #[test]
    fn a_message_larger_than_a_second_goes_out_and_is_paid_for() {
        let pacer = pacer(14, 0);
        pacer.reserve(50, at(0)).unwrap();
        assert!(pacer.reserve(1, at(2_000)).is_err());
        pacer.reserve(1, at(3_600)).unwrap();
    }

    #[test]
    fn a_day_is_any_24_hours() {
        let pacer = pacer(0, 500);
        pacer.reserve(400, at(0)).unwrap();
        pacer.reserve(100, at(6 * 3_600_000)).unwrap();
        let over = pacer.reserve(1, at(7 * 3_600_000)).unwrap_err();
        assert_eq!(over.reason, SkipReason::DayLimit);
        assert!(
            over.wait >= Duration::from_hours(17) && over.wait <= Duration::from_mins(1050),
            "{:?}",
            over.wait
        );
        assert!(pacer.reserve(1, at(23 * 3_600_000)).is_err());
        pacer.reserve(400, at(25 * 3_600_000)).unwrap();
        assert!(pacer.reserve(1, at(25 * 3_600_000)).is_err());
    }

    #[test]
    fn what_was_surely_not_sent_is_given_back_and_a_restart_remembers() {
        let pacer = pacer(0, 10);
        pacer.restore_day(9, at(0));
        pacer.reserve(1, at(0)).unwrap();
        assert!(pacer.reserve(1, at(0)).is_err());
        pacer.refund(1, at(0));
        pacer.reserve(1, at(0)).unwrap();
    }

    proptest! {
        #[test]
        fn no_minute_exceeds_its_share(rate in 1_u32..50, steps in prop::collection::vec(0_u64..200, 1..600)) {
            let pacer = pacer(rate, 0);
            let mut now = 0;
            let mut taken = Vec::new();
            for step in steps {
                now += step;
                if pacer.reserve(1, at(now)).is_ok() {
                    taken.push(now);
                }
            }
            for (index, start) in taken.iter().enumerate() {
                let within = taken[index..].iter().take_while(|time| **time < start + 10_000).count();
                prop_assert!(within as u64 <= u64::from(rate) * 11 + 1, "{within} in 10 s at {rate}/s");
            }
        }
    }
}
