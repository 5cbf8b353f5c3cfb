//! Slows the refusals of a peer that presents wrong keys. A right key is never slowed, whatever else comes from its address.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::HeaderMap;
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

/// Proxies that the operator named; what they say of a client's address is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(pub Vec<IpAddr>);

impl TrustedProxies {
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        self.0.iter().any(|known| known.to_canonical() == address.to_canonical())
    }

    /// Whom a request comes from: behind a named proxy, the right-most address of `X-Forwarded-For` that is no named proxy's.
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
        if !self.holds(peer.ip()) {
            return peer.ip();
        }
        let lines = headers.get_all("x-forwarded-for").iter().rev();
        let named = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        let mut last = peer.ip();
        for text in named {
            // What cannot be read was not written by a proxy that can be trusted further.
            let Some(address) = address_of(text.trim()) else { break };
            last = address;
            if !self.holds(address) {
                break;
            }
        }
        last
    }
}

/// An address, perhaps in brackets or with a port.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn only_named_proxies_say_who_asks() {
        let proxies = TrustedProxies(vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()]);
        let check = |peer: &str, forwarded: &[&str], expected: &str| {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let peer = SocketAddr::new(peer.parse().unwrap(), 1);
            assert_eq!(proxies.client(peer, &headers), expected.parse::<IpAddr>().unwrap(), "{forwarded:?}");
        };
        check("198.51.100.9", &["203.0.113.5"], "198.51.100.9");
        check("192.0.2.1", &[], "192.0.2.1");
        check("192.0.2.1", &["203.0.113.5"], "203.0.113.5");
        check("192.0.2.1", &["10.0.0.1, 203.0.113.5, 192.0.2.2"], "203.0.113.5");
        check("192.0.2.1", &["10.0.0.1", "[2001:db8::1]:443"], "2001:db8::1");
        check("192.0.2.1", &["203.0.113.5, unknown"], "192.0.2.1");
    }
}
