//! Named points at which a test build ends its own process as by `kill -9`. Tests prove with them that a crash between any two steps loses no
//! message and sends none twice. A release build has no such points.

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static ARMED: OnceLock<(String, AtomicU32)> = OnceLock::new();

    /// Arms the point of that name: the process ends when it passes the point for the `nth` time, counted from 1. Only the first call counts.
    pub fn arm(point: &str, nth: u32) {
        // A second call changes nothing, as documented.
        drop(ARMED.set((point.to_owned(), AtomicU32::new(nth.max(1)))));
    }

    /// Passes a point: ends the process if the point is armed and this is the `nth` time.
    pub fn pass(point: &str) {
        let Some((armed, left)) = ARMED.get() else { return };
        if armed == point && left.fetch_sub(1, Ordering::Relaxed) == 1 {
            // No destructors, no buffers written: the nearest to `kill -9` that a process can do to itself.
            std::process::abort();
        }
    }
}

#[cfg(debug_assertions)]
pub use armed::{arm, pass};

/// Does nothing in a release build.
#[cfg(not(debug_assertions))]
pub const fn arm(_point: &str, _nth: u32) {}

/// Does nothing in a release build.
#[cfg(not(debug_assertions))]
#[inline]
pub const fn pass(_point: &str) {}
