//! The messages that this process works on. A message that the store assigns to this process and that is not here was lost in a commit;
//! `housekeeping` compares the two.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ums_core::MessageId;

/// Number of parts with a lock each, so that threads seldom wait for one another.
const PARTS: usize = 16;

/// The messages in hand, with the number of their guards.
#[derive(Debug, Default)]
pub(crate) struct InHand {
    parts: [Mutex<HashMap<MessageId, u32>>; PARTS],
}

/// Guards one message in hand, until the guard is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    in_hand: Arc<InHand>,
    id: MessageId,
}

impl InHand {
    /// Takes a message in hand. A message that was requeued and claimed again at once may have two guards for a moment.
    pub(crate) fn hold(self: &Arc<Self>, id: MessageId) -> Held {
        *self.part(id).entry(id).or_insert(0) += 1;
        Held { in_hand: self.clone(), id }
    }

    /// Whether a message is in hand.
    pub(crate) fn holds(&self, id: MessageId) -> bool {
        self.part(id).contains_key(&id)
    }

    fn part(&self, id: MessageId) -> MutexGuard<'_, HashMap<MessageId, u32>> {
        // The last byte of an id is random.
        let last = id.as_uuid().as_bytes().last().copied().unwrap_or(0);
        self.parts[usize::from(last) % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut part = self.in_hand.part(self.id);
        if let Some(count) = part.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                part.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_in_hand_until_its_last_guard_is_dropped() {
        let in_hand = Arc::new(InHand::default());
        let id = "01993c00-0000-7000-8000-000000000001".parse::<MessageId>().unwrap();
        let (first, second) = (in_hand.hold(id), in_hand.hold(id));
        drop(first);
        assert!(in_hand.holds(id));
        drop(second);
        assert!(!in_hand.holds(id));
    }
}
