//! The feedback ports: what providers post to us, and what has to be asked for.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{AccountId, Event, Failure, Timestamp};

/// A request that claims to come from a provider.
#[derive(Clone)]
pub struct HookRequest {
    /// The account in its path; `default` without one.
    pub account: AccountId,
    /// Path and query as they came: `/hooks/twilio?ums_attempt_id=…`.
    pub path_and_query: String,
    /// Names in lower case, and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Vec<u8>,
    /// When it came.
    pub received_at: Timestamp,
}

impl HookRequest {
    /// The value of a header that is there exactly once; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name);
        let (_, value) = values.next()?;
        values.next().is_none().then_some(value.as_str())
    }
}

impl fmt::Debug for HookRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookRequest({} bytes)", self.body.len())
    }
}

/// Why a request was not believed. The sender is told nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookFault {
    /// It is not genuine, too old, or cannot be read: a short stable word for metrics and logs.
    #[error("{0}")]
    Refused(&'static str),
    /// It could not be checked at the moment (a certificate could not be fetched): the provider should try again.
    #[error("{0}")]
    Unavailable(&'static str),
}

/// Reads what one provider posts: signature first, then events.
#[async_trait]
pub trait Hook: Send + Sync + fmt::Debug {
    /// Reads a request. Events are for a batch: all are kept, or the provider is asked to post again.
    ///
    /// # Errors
    /// [`HookFault`]; nothing in the request was acted on then.
    async fn read(&self, request: &HookRequest) -> Result<Vec<Event>, HookFault>;
}

/// What a source gave.
#[derive(Clone, Debug, Default)]
pub struct Polled {
    /// Events, old ones again among them.
    pub events: Vec<Event>,
    /// Where to go on, to be kept once the events are; none to leave it where it was.
    pub cursor: Option<String>,
    /// Whether there is more at once.
    pub more: bool,
}

/// Feedback that a provider does not post: it has to be asked for.
#[async_trait]
pub trait FeedbackSource: Send + Sync + fmt::Debug {
    /// A stable name under which its cursor is kept, such as `aws_sns.default`.
    fn name(&self) -> &str;

    /// How often it is asked.
    fn every(&self) -> Duration;

    /// Asks for what came since the cursor.
    ///
    /// # Errors
    /// A [`Failure`]; it is asked again later.
    async fn poll(&self, cursor: Option<&str>, now: Timestamp) -> Result<Polled, Failure>;
}
