//! Who stands in the door: the connections that are open, how many a peer has, and which of them goes when there is no room.
//!
//! Strangers cost nothing to make, so room is never asked of whoever comes last: the longest idle connection goes.
//! A stranger's request whose body drips goes after those; a request with a valid key never does.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Who a peer is: an IPv4 address, or the 64 bits of a network that one host is given whole (RFC 4291 §2.5.4).
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

/// What the service, the stream and the door tell each other of one connection.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    /// A request is being worked on.
    busy: AtomicBool,
    /// The last request showed a valid key.
    is_known: AtomicBool,
    /// A request came whose length can be read in two ways.
    pub(crate) ambiguous: AtomicBool,
    /// Requests that have come.
    requests: AtomicU64,
    /// When a byte last came, and when the last request began (or the connection, before its first), in milliseconds since `start`.
    last_byte: AtomicU64,
    last_request: AtomicU64,
    start: Instant,
}

/// In which order connections go; a smaller one goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    NeverAsked,
    IdleStranger,
    IdleCaller,
    StrangersRequest,
}

impl ConnectionState {
    pub(crate) fn new(start: Instant) -> Self {
        let state = Self {
            busy: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
            ambiguous: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            last_byte: AtomicU64::new(0),
            last_request: AtomicU64::new(0),
            start,
        };
        state.saw_byte();
        state.last_request.store(state.now(), Ordering::Relaxed);
        state
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Notes bytes that came or went.
    pub(crate) fn saw_byte(&self) {
        self.last_byte.store(self.now(), Ordering::Relaxed);
    }

    /// Notes that a request begins; gives how many have come.
    pub(crate) fn begin_request(&self) -> u64 {
        self.last_request.store(self.now(), Ordering::Relaxed);
        self.is_known.store(false, Ordering::Relaxed);
        self.busy.store(true, Ordering::Release);
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn end_request(&self) {
        self.saw_byte();
        self.busy.store(false, Ordering::Release);
    }

    /// Notes that the request has a valid key.
    pub(crate) fn is_a_callers(&self) {
        self.is_known.store(true, Ordering::Release);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// When this one goes, if it may be made to.
    fn rank(&self) -> Option<(Rank, u64)> {
        let is_known = self.is_known.load(Ordering::Acquire);
        let last_byte = self.last_byte.load(Ordering::Relaxed);
        match (self.requests.load(Ordering::Relaxed), self.is_busy(), is_known) {
            // Bytes of a head that drips are no merit: who came first goes first.
            (0, _, _) => Some((Rank::NeverAsked, self.last_request.load(Ordering::Relaxed))),
            (_, false, false) => Some((Rank::IdleStranger, last_byte)),
            (_, false, true) => Some((Rank::IdleCaller, last_byte)),
            (_, true, false) => Some((Rank::StrangersRequest, self.last_request.load(Ordering::Relaxed))),
            (_, true, true) => None,
        }
    }
}

/// The connections that are open.
#[derive(Clone, Debug)]
pub(crate) struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    most_per_peer: usize,
    start: Instant,
    guests: Mutex<Guests>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Guests {
    next: u64,
    open: HashMap<u64, Guest>,
    peers: HashMap<PeerKey, usize>,
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

/// How long a connection waits for a place before it is looked again who may go.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Door {
    pub(crate) fn new(most: usize, most_per_peer: usize) -> Self {
        Self(Arc::new(Inner {
            most: most.max(1),
            most_per_peer,
            start: Instant::now(),
            guests: Mutex::default(),
            left: Notify::new(),
        }))
    }

    /// A place for a connection of this peer (none: one that is not counted); who is longest idle makes room.
    pub(crate) async fn enter(&self, peer: Option<PeerKey>) -> Place {
        loop {
            let left = self.0.left.notified();
            if let Some(place) = self.try_enter(peer) {
                return place;
            }
            drop(tokio::time::timeout(LOOK_AGAIN, left).await);
        }
    }

    fn try_enter(&self, peer: Option<PeerKey>) -> Option<Place> {
        let mut guests = self.guests();
        if let Some(key) = peer
            && guests.peers.get(&key).copied().unwrap_or_default() >= self.0.most_per_peer
        {
            guests.dismiss(|guest| guest.peer == peer);
        }
        if guests.open.len() >= self.0.most {
            // Who was told to go is counted until it has gone; nobody else goes meanwhile.
            if !guests.open.values().any(|guest| guest.leave.is_cancelled()) {
                guests.dismiss(|_| true);
            }
            return None;
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
        Some(Place {
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
    /// Tells the first who may go to go.
    fn dismiss(&self, of: impl Fn(&Guest) -> bool) {
        let staying = self.open.values().filter(|guest| of(guest) && !guest.leave.is_cancelled());
        let first = staying
            .filter_map(|guest| guest.state.rank().map(|rank| (rank, guest)))
            .min_by_key(|(rank, _)| *rank);
        if let Some((_, guest)) = first {
            guest.leave.cancel();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut guests = self.door.guests();
        let peer = guests.open.remove(&self.number).and_then(|guest| guest.peer);
        if let Some(key) = peer
            && let Some(count) = guests.peers.get_mut(&key)
        {
            *count -= 1;
            if *count == 0 {
                guests.peers.remove(&key);
            }
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

    async fn after(millis: u64) {
        tokio::time::advance(Duration::from_millis(millis)).await;
    }

    #[test]
    fn a_network_of_64_bits_is_one_peer() {
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:0:0:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_never_asked_goes_first_and_a_callers_request_never() {
        let door = Door::new(5, 5);
        let mut places = Vec::new();
        for _ in 0..5 {
            places.push(door.enter(None).await);
            after(10).await;
        }
        let [callers_request, strangers_request, idle_caller, idle_stranger, silent] = &places[..] else {
            panic!()
        };
        for place in [callers_request, strangers_request, idle_caller, idle_stranger] {
            place.state.begin_request();
        }
        callers_request.state.is_a_callers();
        idle_caller.state.is_a_callers();
        idle_caller.state.end_request();
        idle_stranger.state.end_request();
        for expected in [silent, idle_stranger, idle_caller, strangers_request] {
            assert!(!expected.leave.is_cancelled());
            door.guests().dismiss(|_| true);
            assert!(expected.leave.is_cancelled());
        }
        assert!(door.try_enter(None).is_none());
        assert!(!callers_request.leave.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn among_equals_the_one_longest_without_a_byte_goes() {
        let door = Door::new(2, 2);
        let (first, second) = (door.enter(None).await, door.enter(None).await);
        for place in [&first, &second] {
            place.state.begin_request();
            place.state.end_request();
        }
        after(10).await;
        first.state.saw_byte();
        assert!(door.try_enter(None).is_none());
        assert!(second.leave.is_cancelled() && !first.leave.is_cancelled());
        drop(second);
        assert!(door.try_enter(None).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_with_too_many_makes_room_among_its_own() {
        let door = Door::new(9, 2);
        let other = door.enter(Some(key("192.0.2.1"))).await;
        after(10).await;
        let mine = [door.enter(Some(key("192.0.2.2"))).await, door.enter(Some(key("192.0.2.2"))).await];
        let third = door.enter(Some(key("192.0.2.2"))).await;
        assert!(mine.iter().any(|place| place.leave.is_cancelled()));
        assert!(!other.leave.is_cancelled() && !third.leave.is_cancelled());
    }
}
