//! Counts per provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// What a provider has seen since the start.
///
/// For SMTP a request is a transaction, from MAIL to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Requests of any kind, those hit by a fault included.
    pub requests: u64,
    /// Requests to send a message that were read, those hit by a fault included.
    pub sends: u64,
    /// Messages recorded.
    pub accepted: u64,
    /// Requests hit by a fault.
    pub faulted: u64,
    /// Requests being answered now.
    pub in_flight: u64,
    /// Highest number of requests answered at the same time.
    pub peak_in_flight: u64,
    /// Connections to the provider's own port.
    pub connections: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: AtomicU64,
    sends: AtomicU64,
    accepted: AtomicU64,
    faulted: AtomicU64,
    in_flight: AtomicU64,
    peak_in_flight: AtomicU64,
    connections: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Stats {
        Stats {
            requests: self.requests.load(Relaxed),
            sends: self.sends.load(Relaxed),
            accepted: self.accepted.load(Relaxed),
            faulted: self.faulted.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            peak_in_flight: self.peak_in_flight.load(Relaxed),
            connections: self.connections.load(Relaxed),
        }
    }

    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(crate) fn accepted(&self, messages: usize) {
        self.accepted.fetch_add(messages as u64, Relaxed);
    }

    pub(crate) fn faulted(&self) {
        self.faulted.fetch_add(1, Relaxed);
    }

    /// Counts a request as one to send.
    pub(crate) fn sent(&self, is_send: bool) {
        self.sends.fetch_add(u64::from(is_send), Relaxed);
    }

    /// Counts a request in; it is counted out when the guard is dropped.
    pub(crate) fn request(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Relaxed);
        let now = self.in_flight.fetch_add(1, Relaxed) + 1;
        self.peak_in_flight.fetch_max(now, Relaxed);
        InFlight(Arc::clone(self))
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Counters>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
