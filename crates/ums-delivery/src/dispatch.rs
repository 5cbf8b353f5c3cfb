//! What accepting and claiming need beside the desk: permits of the lanes, windows on the queue, and unsubscribe links.
//!
//! Its place in the flow: `accept` and `batches` let messages in, `worker` claims them, `housekeeping` looks for lost ones. A delivery
//! under way never sees the dispatch: it has its permit already.

use std::sync::Arc;

use crate::desk::Desk;
use crate::drain::Drain;
use crate::lanes::Lanes;
use crate::unsubscribe::Links;

/// The desk, and what bounds how much this process works on at once.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) desk: Arc<Desk>,
    /// Permits for messages that this process works on.
    pub(crate) lanes: Arc<Lanes>,
    /// Windows: how many claimed messages a lane may have out.
    pub(crate) drain: Drain,
    /// Locked during a claim, so that housekeeping does not mistake a claimed message that is not in hand yet for a lost one.
    pub(crate) claiming: tokio::sync::Mutex<()>,
    /// Makes the unsubscribe links of bulk mail.
    pub(crate) links: Links,
}
