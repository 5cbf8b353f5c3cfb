//! The feedback ports: requests that providers post to the service, and sources that the service polls.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{AccountId, Event, Failure, Timestamp};

/// A request that claims to come from a provider.
#[derive(Clone)]
pub struct HookRequest {
    /// The account in the request's path; `default` if the path names none.
    pub account: AccountId,
    /// Path and query as received: `/hooks/twilio?ums_attempt_id=…`.
    pub path_and_query: String,
    /// Headers in order: the name in lower case, and the value.
    pub headers: Vec<(String, String)>,
    /// The body as received.
    pub body: Vec<u8>,
    /// Time of receipt, by our clock.
    pub received_at: Timestamp,
}

impl HookRequest {
    /// The value of a header; none if the header is missing or repeated. `name` is in lower case.
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

/// Why the service does not believe a request. The answer to the sender does not tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookFault {
    /// The request is not genuine, too old, or unreadable: a short stable word for metrics and logs.
    #[error("{0}")]
    Refused(&'static str),
    /// The request cannot be checked at the moment, because a certificate could not be fetched: the provider should post again.
    #[error("{0}")]
    Unavailable(&'static str),
}

/// Reads the requests that one provider posts: the signature first, then the events.
#[async_trait]
pub trait Hook: Send + Sync + fmt::Debug {
    /// Reads a request. The service stores all events of a request, or asks the provider to post again.
    ///
    /// # Errors
    /// A [`HookFault`]; then no event of the request has an effect.
    async fn read(&self, request: &HookRequest) -> Result<Vec<Event>, HookFault>;
}

/// The answer of a source to one poll.
#[derive(Clone, Debug, Default)]
pub struct Polled {
    /// Events; some of them may be repeated from earlier polls.
    pub events: Vec<Event>,
    /// The new cursor, to be stored after the events; none if the cursor does not move.
    pub cursor: Option<String>,
    /// Whether the source has more events now.
    pub more: bool,
}

/// A source of feedback that the provider does not post: the service polls it.
#[async_trait]
pub trait FeedbackSource: Send + Sync + fmt::Debug {
    /// A stable name for the source's cursor, such as `aws_sns.default`.
    fn name(&self) -> &str;

    /// Time between two polls.
    fn every(&self) -> Duration;

    /// Asks for the events since the cursor.
    ///
    /// # Errors
    /// A [`Failure`]; the service polls again later.
    async fn poll(&self, cursor: Option<&str>, now: Timestamp) -> Result<Polled, Failure>;
}
