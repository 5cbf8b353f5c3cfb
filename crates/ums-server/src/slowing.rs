//! Slows the refusals of a peer that presents wrong keys. A right key is never slowed, whatever else comes from its address.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::door::PeerKey;

/// Refusals of a peer that are not slowed, and how often another one is not.
const BURST: u32 = 10;
const EVERY: Duration = Duration::from_secs(1);
/// Longest time that a refusal is kept back.
const LONGEST: Duration = Duration::from_secs(2);
/// Most peers that are remembered; of more, those whose refusals are longest ago are forgotten.
const PEERS: usize = 4_096;

/// Refusals by peer: for each the time when its allowance is whole again (a generic cell rate, ITU-T I.371).
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<HashMap<PeerKey, Instant>>);

impl Refusals {
    /// Counts a refusal; gives how long its answer is kept back.
    pub(crate) fn count(&self, peer: PeerKey) -> Duration {
        let now = Instant::now();
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS && !peers.contains_key(&peer) {
            peers.retain(|_, whole| *whole > now);
            if peers.len() >= PEERS
                && let Some(first) = peers.iter().min_by_key(|(_, whole)| **whole).map(|(key, _)| *key)
            {
                peers.remove(&first);
            }
        }
        let whole = peers.entry(peer).or_insert(now);
        let allowance = EVERY * BURST;
        // Bounded, so that a flood does not slow the peer for longer than it lasts.
        *whole = ((*whole).max(now) + EVERY).min(now + allowance + LONGEST);
        whole.duration_since(now).saturating_sub(allowance)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn refusals_are_slowed_by_peer_and_forgiven_with_time() {
        let refusals = Refusals::default();
        let peer = |last: u8| PeerKey::of(IpAddr::from([192, 0, 2, last]));
        for _ in 0..BURST {
            assert_eq!(refusals.count(peer(1)), Duration::ZERO);
        }
        assert_eq!(refusals.count(peer(1)), EVERY);
        for _ in 0..100 {
            assert!(refusals.count(peer(1)) <= LONGEST);
        }
        assert_eq!(refusals.count(peer(1)), LONGEST);
        assert_eq!(refusals.count(peer(2)), Duration::ZERO);
        tokio::time::advance(LONGEST + EVERY).await;
        assert_eq!(refusals.count(peer(1)), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_does_not_grow_without_bound() {
        let refusals = Refusals::default();
        for number in 0..10_000_u32 {
            refusals.count(PeerKey::of(IpAddr::from(number.to_be_bytes())));
        }
        assert!(refusals.0.lock().unwrap().len() <= PEERS);
    }
}
