//! Chance that repeats: everything random in a drill follows from its seed.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A stream of numbers.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    /// The stream of a part of a drill; parts with other names get other streams.
    pub(super) fn of(seed: u64, part: &str) -> Self {
        let folded = part.bytes().fold(seed, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(7)
        });
        Self(folded)
    }

    /// A seed that nobody chose.
    pub(super) fn any_seed() -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nanos = now.map_or(1, |now| now.subsec_nanos());
        u64::from(nanos ^ std::process::id()) % 1_000_000
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is at least 1.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A number within bounds.
    pub(super) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    /// A time within bounds, in milliseconds.
    pub(super) fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// True in so many of a hundred cases.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = self.below(u64::try_from(from.len()).unwrap_or(1));
        from.get(usize::try_from(at).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn a_seed_repeats_and_parts_differ() {
        let stream = |seed, part| {
            let mut chance = Chance::of(seed, part);
            (0..20).map(|_| chance.within(50..=3_000)).collect::<Vec<_>>()
        };
        assert_eq!(stream(7, "kills"), stream(7, "kills"));
        assert_ne!(stream(7, "kills"), stream(7, "load"));
        assert_ne!(stream(7, "kills"), stream(8, "kills"));
        assert!(stream(7, "kills").iter().all(|number| (50..=3_000).contains(number)));
    }
}
