//! What decides how much is worked on at once, beside the desk: room in the lanes, windows on the queue, and links that go into mail.

use std::sync::Arc;

use crate::desk::Desk;
use crate::drain::Drain;
use crate::lanes::Lanes;
use crate::unsubscribe::Links;

/// What accepting and claiming work with.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) desk: Arc<Desk>,
    /// Room for messages that are being worked on.
    pub(crate) lanes: Arc<Lanes>,
    /// How much of the queue is taken up at once.
    pub(crate) drain: Drain,
    /// Held while messages are claimed, so that what was claimed and is not in hand yet is not taken for lost.
    pub(crate) claiming: tokio::sync::Mutex<()>,
    /// Makes the unsubscribe links of mail to many.
    pub(crate) links: Links,
}
