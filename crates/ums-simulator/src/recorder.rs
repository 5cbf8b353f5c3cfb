//! The messages that were accepted, oldest first, within bounds.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::fault_board::lock;
use crate::{Provider, SimMessage, mime};

/// Most messages kept.
const MAX_MESSAGES: usize = 100_000;

/// Most bytes of bodies kept, all messages together: 256 MiB.
const MAX_BYTES: usize = 256 << 20;

/// Bodies up to this length are copied to their exact size: as slices they would
/// keep the whole block alive that they were read into.
const COPIED: usize = 32_768;

/// A message on its way into the recorder.
#[derive(Debug)]
pub(crate) struct Draft {
    /// What the envelope or the request says; `raw` is still empty.
    pub(crate) message: SimMessage,
    /// The body as it came, shared with the buffer it was read into.
    pub(crate) raw: Bytes,
    /// The raw body is a MIME message that fills in the rest when it is looked at.
    pub(crate) is_mime: bool,
    /// The secret of the request's credentials, where status callbacks are signed with it.
    pub(crate) token: Option<Token>,
    /// The region that the request was signed for, where reports name it.
    pub(crate) region: Option<String>,
}

/// A secret that no output shows.
#[derive(Clone)]
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn new(secret: String) -> Self {
        Self(secret)
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Draft {
    /// A message that was read from its request.
    pub(crate) fn plain(message: SimMessage, raw: Bytes) -> Self {
        Self {
            message,
            raw,
            is_mime: false,
            token: None,
            region: None,
        }
    }

    /// A message that stands in MIME.
    pub(crate) fn mime(message: SimMessage, raw: Bytes) -> Self {
        Self {
            is_mime: true,
            ..Self::plain(message, raw)
        }
    }

    fn weight(&self) -> usize {
        let texts = [&self.message.text, &self.message.html, &self.message.body, &self.message.subject];
        let text: usize = texts.into_iter().flatten().map(String::len).sum();
        self.raw.len() + text
    }
}

/// A recorded message. Its MIME parts are parsed when somebody looks, not when it
/// comes: the simulator serves as the other end of benchmarks.
#[derive(Debug)]
pub(crate) struct Entry(Draft);

impl Entry {
    pub(crate) fn new(draft: Draft) -> Self {
        Self(draft)
    }

    pub(crate) fn into_draft(self) -> Draft {
        self.0
    }

    pub(crate) fn draft(&self) -> &Draft {
        &self.0
    }

    /// What was known without parsing; `raw` is empty.
    pub(crate) fn envelope(&self) -> &SimMessage {
        &self.0.message
    }

    pub(crate) fn expand(&self) -> SimMessage {
        let mut message = self.0.message.clone();
        if self.0.is_mime {
            mime::fill(&mut message, &self.0.raw);
        }
        message.raw = String::from_utf8_lossy(&self.0.raw).into_owned();
        message
    }
}

/// Which messages are wanted.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) provider: Option<Provider>,
    pub(crate) recipient: Option<String>,
    pub(crate) after: Option<u64>,
    pub(crate) limit: Option<usize>,
}

impl Filter {
    fn admits(&self, message: &SimMessage) -> bool {
        self.provider.is_none_or(|it| it == message.provider)
            && self.after.is_none_or(|seq| message.seq > seq)
            && self.recipient.as_ref().is_none_or(|it| message.is_for(it))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Recorder {
    state: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    last_seq: u64,
    dropped: u64,
}

impl Recorder {
    pub(crate) fn record(&self, mut draft: Draft) {
        if draft.raw.len() <= COPIED {
            draft.raw = Bytes::copy_from_slice(&draft.raw);
        }
        let mut kept = lock(&self.state);
        kept.last_seq += 1;
        draft.message.seq = kept.last_seq;
        kept.bytes += draft.weight();
        kept.entries.push_back(Arc::new(Entry::new(draft)));
        while kept.entries.len() > MAX_MESSAGES || kept.bytes > MAX_BYTES {
            let Some(oldest) = kept.entries.pop_front() else {
                break;
            };
            kept.bytes -= oldest.0.weight();
            kept.dropped += 1;
        }
    }

    /// Lists the messages that pass, oldest first.
    pub(crate) fn list(&self, filter: &Filter) -> Vec<Arc<Entry>> {
        let kept = lock(&self.state);
        kept.entries
            .iter()
            .filter(|entry| filter.admits(entry.envelope()))
            .take(filter.limit.unwrap_or(usize::MAX))
            .map(Arc::clone)
            .collect()
    }

    /// Finds a message by the id that its provider gave it.
    pub(crate) fn find(&self, provider: Provider, id: &str) -> Option<Arc<Entry>> {
        let kept = lock(&self.state);
        let is_it = |entry: &&Arc<Entry>| {
            let message = entry.envelope();
            message.provider == provider && message.id == id
        };
        kept.entries.iter().rev().find(is_it).map(Arc::clone)
    }

    /// Forgets all messages; returns how many there were.
    pub(crate) fn clear(&self) -> usize {
        let mut kept = lock(&self.state);
        let entries = std::mem::take(&mut kept.entries);
        kept.bytes = 0;
        drop(kept);
        entries.len()
    }

    /// Returns how many are kept, and how many were dropped to keep within bounds.
    pub(crate) fn counts(&self) -> (usize, u64) {
        let kept = lock(&self.state);
        (kept.entries.len(), kept.dropped)
    }
}
