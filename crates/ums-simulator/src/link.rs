//! Between a connection's service and its socket.

use std::sync::atomic::{AtomicBool, Ordering};

/// What the service and the socket of a connection tell each other.
#[derive(Debug)]
pub(crate) struct Link {
    /// Close by a reset instead of an orderly end.
    pub(crate) resets: AtomicBool,
    /// No request has begun since the last answer.
    pub(crate) is_idle: AtomicBool,
    /// The fault board was asked for this request already, and let it pass.
    pub(crate) was_spared: AtomicBool,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            resets: AtomicBool::new(false),
            is_idle: AtomicBool::new(true),
            was_spared: AtomicBool::new(false),
        }
    }
}

impl Link {
    /// Makes the socket close by a reset.
    pub(crate) fn reset(&self) {
        self.resets.store(true, Ordering::Release);
    }

    /// Tells, once, that this request was spared before it was read.
    pub(crate) fn take_spared(&self) -> bool {
        self.was_spared.swap(false, Ordering::AcqRel)
    }
}
