//! Rules that every implementation shares: who may write to a message, and which moves are legal.

use ums_core::{Purpose, Status, StoreError, Timestamp};

/// Lanes in the order in which they are served.
pub(crate) const LANES: [Purpose; 3] = [Purpose::Otp, Purpose::Transactional, Purpose::Bulk];

/// The lane of a purpose: its place in [`LANES`].
pub(crate) const fn lane(purpose: Purpose) -> u8 {
    match purpose {
        Purpose::Otp => 0,
        Purpose::Transactional => 1,
        Purpose::Bulk => 2,
    }
}

/// Whether a process works on a message that stands like this. Such a message has an owner; an
/// ended one, and one that waits for its time, has none.
pub(crate) const fn is_under_way(status: Status, due_at: Option<Timestamp>) -> bool {
    !status.is_final() && due_at.is_none()
}

/// An ended message is never due.
pub(crate) fn due(status: Status, due_at: Option<Timestamp>) -> Option<Timestamp> {
    due_at.filter(|_| !status.is_final())
}

/// Refuses a step to a status that cannot follow; a message may stay where it is.
pub(crate) fn check_move(from: Status, to: Status) -> Result<(), StoreError> {
    if from == to || from.may_become(to) {
        Ok(())
    } else {
        Err(StoreError::IllegalMove { from, to })
    }
}
