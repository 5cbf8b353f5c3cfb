//! Chance as a port, so that tests repeat jitter and ids from a seed.

use std::fmt;

/// A source of random bytes.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills the buffer with random bytes.
    fn fill(&self, buffer: &mut [u8]);

    /// A number from 0 (included) to 1 (excluded).
    fn unit(&self) -> f64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        let bits = u64::from_le_bytes(bytes) >> 11;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
        let (bits, scale) = (bits as f64, (1_u64 << 53) as f64);
        bits / scale
    }
}

/// The operating system's random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::expect_used, reason = "a machine without entropy cannot make ids or keys")]
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system gives random bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_stays_below_one() {
        for _ in 0..1_000 {
            assert!((0.0..1.0).contains(&SystemRandom.unit()));
        }
    }
}
