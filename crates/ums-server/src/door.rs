//! Who stands in the door: the connections that are open, how many a peer has, and which of them goes when there is no room.
//!
//! Strangers cost nothing to make, so room is never asked of whoever comes last: the longest idle connection goes.
//!
//! **Invariant:** a request that is worked on or answered is never cut; only a stranger's that drips is.

mod connection;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use connection::{ConnectionState, Stage};

use crate::metrics::Metrics;

/// Who a peer is: an IPv4 address, or 64 bits of an IPv6 address, which one host may be given whole (RFC 8273 §3, RFC 7934 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PeerKey(IpAddr);

impl PeerKey {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// The connections that are open.
#[derive(Clone, Debug)]
pub(crate) struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    most_per_peer: usize,
    metrics: Arc<Metrics>,
    start: Instant,
    guests: Mutex<Guests>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Guests {
    next: u64,
    open: HashMap<u64, Guest>,
    /// How many of a peer's stay: not those that were told to go.
    peers: HashMap<PeerKey, usize>,
    leaving: usize,
}

#[derive(Debug)]
struct Guest {
    state: Arc<ConnectionState>,
    peer: Option<PeerKey>,
    leave: CancellationToken,
}

/// A connection's place in the door; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    door: Door,
    number: u64,
    pub(crate) state: Arc<ConnectionState>,
    /// The place is wanted by somebody else.
    pub(crate) leave: CancellationToken,
}

/// What becomes of a connection that comes.
#[derive(Debug)]
enum Entry {
    Taken(Place),
    /// There is no room yet.
    Waits,
    /// Its peer has as many as it may have, all of them with requests in hand.
    Refused,
}

/// How long a connection waits for a place before it is looked again who may go.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Door {
    pub(crate) fn new(most: usize, most_per_peer: usize, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Inner {
            most: most.max(1),
            most_per_peer: most_per_peer.max(1),
            metrics,
            start: Instant::now(),
            guests: Mutex::default(),
            left: Notify::new(),
        }))
    }

    /// A place for a connection of this peer (no peer: one that is not counted); who is longest idle makes room.
    /// None if the peer has as many connections as it may have, all of them with requests in hand.
    pub(crate) async fn enter(&self, peer: Option<PeerKey>) -> Option<Place> {
        loop {
            let left = self.0.left.notified();
            match self.try_enter(peer) {
                Entry::Taken(place) => return Some(place),
                Entry::Refused => {
                    self.0.metrics.connection_turned_out("refused");
                    return None;
                }
                Entry::Waits => drop(tokio::time::timeout(LOOK_AGAIN, left).await),
            }
        }
    }

    fn try_enter(&self, peer: Option<PeerKey>) -> Entry {
        let mut guests = self.guests();
        if let Some(key) = peer
            && guests.peers.get(&key).copied().unwrap_or_default() >= self.0.most_per_peer
        {
            if !guests.dismiss(|guest| guest.peer == peer) {
                return Entry::Refused;
            }
            self.0.metrics.connection_turned_out("peer");
        }
        if guests.open.len() >= self.0.most {
            // Who was told to go is counted until it has gone; nobody else goes meanwhile.
            if guests.leaving == 0 && guests.dismiss(|_| true) {
                self.0.metrics.connection_turned_out("room");
            }
            return Entry::Waits;
        }
        let number = guests.next;
        guests.next += 1;
        let state = Arc::new(ConnectionState::new(self.0.start));
        let leave = CancellationToken::new();
        let guest = Guest {
            state: Arc::clone(&state),
            peer,
            leave: leave.clone(),
        };
        guests.open.insert(number, guest);
        if let Some(key) = peer {
            *guests.peers.entry(key).or_default() += 1;
        }
        drop(guests);
        let door = self.clone();
        Entry::Taken(Place {
            door,
            number,
            state,
            leave,
        })
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.0.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guests {
    /// Tells the first who may go to go; tells whether anybody does.
    fn dismiss(&mut self, of: impl Fn(&Guest) -> bool) -> bool {
        loop {
            let staying = self.open.iter().filter(|(_, guest)| of(guest));
            let ranked = staying.filter_map(|(number, guest)| guest.state.rank().map(|(rank, stage)| (rank, stage, *number)));
            let Some((_, stage, number)) = ranked.min_by_key(|(rank, ..)| *rank) else {
                return false;
            };
            let Some(guest) = self.open.get_mut(&number) else { return false };
            // Who began a request meanwhile stays, and somebody else is looked for.
            if guest.state.leave(stage) {
                guest.leave.cancel();
                self.leaving += 1;
                let peer = guest.peer.take();
                self.uncount(peer);
                return true;
            }
        }
    }

    fn uncount(&mut self, peer: Option<PeerKey>) {
        if let Some(key) = peer
            && let Some(count) = self.peers.get_mut(&key)
        {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&key);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut guests = self.door.guests();
        if let Some(guest) = guests.open.remove(&self.number) {
            guests.leaving -= usize::from(guest.leave.is_cancelled());
            guests.uncount(guest.peer);
        }
        drop(guests);
        self.door.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> PeerKey {
        PeerKey::of(address.parse().unwrap())
    }

    fn door(most: usize, most_per_peer: usize) -> Door {
        Door::new(most, most_per_peer, Arc::new(Metrics::new()))
    }

    async fn after(millis: u64) {
        tokio::time::advance(Duration::from_millis(millis)).await;
    }

    /// A connection in that stage, with a caller's key or without.
    fn put(place: &Place, stage: Option<Stage>, is_callers: bool) {
        let Some(stage) = stage else { return };
        place.state.begin_request().unwrap();
        if is_callers {
            place.state.is_a_callers();
        }
        let mut waits = Box::pin(place.state.wait(stage, std::future::pending::<()>()));
        assert!(std::future::Future::poll(waits.as_mut(), &mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending());
    }

    #[test]
    fn a_network_of_64_bits_is_one_peer() {
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:0:0:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_go_in_their_order_and_requests_in_hand_never() {
        let order = [
            (None, false),
            (Some(Stage::Idle), false),
            (Some(Stage::Withheld), false),
            // These two are slow.
            (Some(Stage::Reading), false),
            (Some(Stage::Answering), false),
            (Some(Stage::Idle), true),
            (Some(Stage::Reading), false),
        ];
        let stays = [
            (Some(Stage::Working), false),
            (Some(Stage::Answering), false),
            (Some(Stage::Reading), true),
            (Some(Stage::Working), true),
            (Some(Stage::Answering), true),
        ];
        let door = door(12, 12);
        let mut places = Vec::new();
        for (number, (stage, is_callers)) in order.into_iter().chain(stays).enumerate() {
            // Whoever is later in the order is longer here, but for the last ones.
            let place = door.enter(None).await.unwrap();
            put(&place, stage, is_callers);
            places.push(place);
            after(if number == 5 { 2_000 } else { 1 }).await;
        }
        let (goes, stays) = places.split_at(order.len());
        for (place, expected) in goes.iter().zip(order) {
            assert!(!place.leave.is_cancelled(), "{expected:?} goes too early");
            assert!(door.guests().dismiss(|_| true));
            assert!(place.leave.is_cancelled(), "{expected:?} goes next");
            assert_eq!(place.state.begin_request(), None, "it begins nothing any more");
        }
        assert!(!door.guests().dismiss(|_| true));
        assert!(stays.iter().all(|place| !place.leave.is_cancelled()));
        assert!(matches!(door.try_enter(None), Entry::Waits));
    }

    #[tokio::test(start_paused = true)]
    async fn among_equals_the_one_longest_without_a_request_goes() {
        let door = door(2, 2);
        let [first, second] = [door.enter(None).await.unwrap(), door.enter(None).await.unwrap()];
        for place in [&second, &first] {
            after(10).await;
            place.state.begin_request();
            place.state.begin_answer();
            place.state.flushed();
        }
        assert!(matches!(door.try_enter(None), Entry::Waits));
        assert!(second.leave.is_cancelled() && !first.leave.is_cancelled());
        assert!(matches!(door.try_enter(None), Entry::Waits));
        assert!(!first.leave.is_cancelled(), "one goes for one that comes");
        drop(second);
        assert!(matches!(door.try_enter(None), Entry::Taken(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_with_too_many_makes_room_among_its_own_or_is_refused() {
        let door = door(9, 2);
        let other = door.enter(Some(key("192.0.2.1"))).await.unwrap();
        after(10).await;
        let mine = [
            door.enter(Some(key("192.0.2.2"))).await.unwrap(),
            door.enter(Some(key("192.0.2.2"))).await.unwrap(),
        ];
        let third = door.enter(Some(key("192.0.2.2"))).await.unwrap();
        assert_eq!(mine.iter().filter(|place| place.leave.is_cancelled()).count(), 1);
        assert!(!other.leave.is_cancelled() && !third.leave.is_cancelled());
        for place in mine.iter().chain([&third]) {
            place.state.begin_request();
        }
        assert!(door.enter(Some(key("192.0.2.2"))).await.is_none());
        assert!(door.enter(Some(key("192.0.2.3"))).await.is_some());
        assert!(door.enter(None).await.is_some());
        drop(third);
        assert!(door.enter(Some(key("192.0.2.2"))).await.is_some());
    }
}
