//! Answers: what a provider says, and how a fault spoils it on its way.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::recorder::{Draft, Entry};

/// Length of the body that `huge` streams: 2 GB.
pub(crate) const HUGE_BYTES: u64 = 2_000_000_000;

/// What is streamed for `huge`, over and over.
pub(crate) static PADDING: [u8; 65_536] = [b'x'; 65_536];

/// Bytes of the list of messages that are made at a time.
const LIST_CHUNK: usize = 65_536;

/// What a provider says.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        // Our own values always serialise; an empty body would show in every test.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self::new(status).body("application/json", body)
    }

    pub(crate) fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.headers.push((header::CONTENT_TYPE, HeaderValue::from_static(content_type)));
        self
    }

    /// Adds a header; a value that no header can carry is left out.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    pub(crate) fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// Drops the headers that carry the provider's id of the message.
    fn without_ids(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "x-message-id");
        self
    }

    /// Sends it as it is.
    pub(crate) fn whole(self) -> Response<Payload> {
        let body = self.body.clone();
        self.with(Payload::Whole(Some(body)))
    }

    /// Sends a success without an id and without a body.
    pub(crate) fn empty(mut self) -> Response<Payload> {
        self.body = Bytes::new();
        self.without_ids().with(Payload::Whole(None))
    }

    /// Sends a success that says nothing one could read.
    pub(crate) fn garbage(self) -> Response<Payload> {
        let nonsense = Bytes::from_static(b"\x00\xff<<{[ not what you asked for \xfe\x80");
        self.without_ids().with(Payload::Whole(Some(nonsense)))
    }

    /// Sends 2 GB.
    pub(crate) fn huge(self) -> Response<Payload> {
        self.without_ids().with(Payload::Padding(HUGE_BYTES))
    }

    /// Sends half of the body, having announced all of it and more.
    pub(crate) fn truncated(mut self) -> Response<Payload> {
        let announced = self.body.len() + 64;
        self.headers.push((header::CONTENT_LENGTH, HeaderValue::from(announced)));
        let half = self.body.slice(..self.body.len() / 2);
        self.with(Payload::Cut(Cut::Half(half)))
    }

    fn with(self, payload: Payload) -> Response<Payload> {
        let mut response = Response::new(payload);
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

/// Why a provider does not take a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal<'a> {
    /// A plain status, the operator's choice.
    Status(u16),
    /// Too many requests.
    Throttled,
    /// The credentials are not accepted.
    Unauthorized,
    /// The account is suspended.
    Suspended,
    /// The allowance is used up.
    Quota,
    /// This recipient cannot be reached, ever.
    Recipient(&'a str),
    /// The body is longer than anything that is read.
    TooLarge,
}

/// The connection ends without an answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("dropped without an answer")]
pub(crate) struct Dropped;

/// A reply, and the messages that it accepts.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) accepted: Vec<Draft>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self {
            reply,
            accepted: Vec::new(),
        }
    }
}

impl Answer {
    /// Takes the outcome of a handler, which may end early by an error reply.
    pub(crate) fn of(outcome: Result<Self, Reply>) -> Self {
        outcome.unwrap_or_else(Self::from)
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Payload {
    Whole(Option<Bytes>),
    Cut(Cut),
    Padding(u64),
    Messages(MessageList),
}

/// Steps of a body that breaks off.
#[derive(Debug)]
pub(crate) enum Cut {
    Half(Bytes),
    /// Waits a turn, so that the half is on the wire before the end.
    Flush,
    End,
}

/// The body breaks off on purpose.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("cut off as the fault demands")]
pub(crate) struct CutOff;

impl From<Infallible> for CutOff {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let data = match self.get_mut() {
            Self::Whole(body) => body.take().filter(|body| !body.is_empty()),
            Self::Padding(left) => next_padding(left),
            Self::Messages(list) => list.next_chunk(),
            Self::Cut(cut) => match std::mem::replace(cut, Cut::End) {
                Cut::Half(half) => {
                    *cut = Cut::Flush;
                    if half.is_empty() {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Some(half)
                }
                Cut::Flush => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Cut::End => return Poll::Ready(Some(Err(CutOff))),
            },
        };
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.as_ref().is_none_or(Bytes::is_empty),
            Self::Cut(_) | Self::Padding(_) | Self::Messages(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Self::Cut(_) | Self::Padding(_) | Self::Messages(_) => SizeHint::default(),
        }
    }
}

fn next_padding(left: &mut u64) -> Option<Bytes> {
    let length = usize::try_from(*left).map_or(PADDING.len(), |left| left.min(PADDING.len()));
    *left -= length as u64;
    (length > 0).then(|| Bytes::from_static(&PADDING[..length]))
}

/// Streams recorded messages as one JSON document, a chunk at a time.
#[derive(Debug)]
pub(crate) struct MessageList {
    entries: VecDeque<Arc<Entry>>,
    is_open: bool,
    is_closed: bool,
}

impl MessageList {
    pub(crate) fn reply(entries: Vec<Arc<Entry>>) -> Response<Payload> {
        let list = Self {
            entries: entries.into(),
            is_open: false,
            is_closed: false,
        };
        Reply::new(200).body("application/json", Bytes::new()).with(Payload::Messages(list))
    }

    fn next_chunk(&mut self) -> Option<Bytes> {
        if self.is_closed {
            return None;
        }
        let mut chunk = Vec::new();
        if !self.is_open {
            chunk.extend_from_slice(b"{\"messages\":[");
        }
        while chunk.len() < LIST_CHUNK {
            let Some(entry) = self.entries.pop_front() else {
                chunk.extend_from_slice(b"]}");
                self.is_closed = true;
                break;
            };
            if std::mem::replace(&mut self.is_open, true) {
                chunk.push(b',');
            }
            let json = serde_json::to_vec(&entry.expand()).unwrap_or_else(|_| b"null".to_vec());
            chunk.extend_from_slice(&json);
        }
        self.is_open = true;
        Some(Bytes::from(chunk))
    }
}
