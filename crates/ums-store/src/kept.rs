//! What the column `messages.status` holds: the status of the work, which is not always the word for the message.
//!
//! The word for a message whose first recipient has an end is that end, even while other recipients are open. The release before takes a row
//! with such a status for ended and forgets the open recipients, and its replicas may work on the database during an upgrade. So the column says
//! of a message with open recipients that it waits or is being sent, and a reader of the row makes the word from the recipients. The
//! store in memory does the same, so that the moves that are legal are the same everywhere.

use ums_core::{MessageRecord, Status, Work};

/// The status that is kept of a message whose word is `status`.
pub(crate) const fn status_of(status: Status, work: Work) -> Status {
    match work {
        Work::Due(_) if status.is_final() => Status::Queued,
        Work::InHand if status.is_final() => Status::Sending,
        Work::Due(_) | Work::InHand | Work::Ended => status,
    }
}

/// The record with the word for its message, made from the status that is kept.
pub(crate) fn with_word(record: MessageRecord, kept: Status) -> MessageRecord {
    let status = word(&record, kept);
    MessageRecord { status, ..record }
}

/// The word for a message of which this status is kept.
pub(crate) fn word(record: &MessageRecord, kept: Status) -> Status {
    if record.has_ended() { kept } else { record.word(kept) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ums_core::Timestamp;

    #[test]
    fn an_end_is_kept_only_of_a_message_without_open_recipients() {
        let due = Work::Due(Timestamp::from_micros(1));
        for status in Status::ALL {
            assert_eq!(status_of(*status, Work::Ended), *status);
            for (work, instead) in [(due, Status::Queued), (Work::InHand, Status::Sending)] {
                let kept = if status.is_final() { instead } else { *status };
                assert_eq!(status_of(*status, work), kept, "{status}");
            }
        }
    }
}
