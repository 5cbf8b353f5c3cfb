//! A provider's reply, and what the pure outcome functions see of it.

use bytes::Bytes;
use http::HeaderMap;
use ums_core::Timestamp;

/// A simulator marks its replies with this header.
const SIMULATOR_MARK: &str = "x-ums-simulator";

/// A whole reply; its body may be cut at the cap.
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body, at most the cap.
    pub(crate) body: Bytes,
}

impl Reply {
    /// The reply as the pure outcome functions see it.
    pub(crate) fn answer(&self, now: Timestamp) -> Answer<'_> {
        Answer {
            status: self.status,
            headers: &self.headers,
            body: &self.body,
            now,
        }
    }

    /// Whether a simulator gave it.
    pub(crate) fn is_simulated(&self) -> bool {
        self.headers.contains_key(SIMULATOR_MARK)
    }
}

/// A provider's answer, as the pure outcome functions see it.
#[derive(Clone, Copy)]
pub(crate) struct Answer<'a> {
    /// HTTP status.
    pub(crate) status: u16,
    /// Headers.
    pub(crate) headers: &'a HeaderMap,
    /// Body, perhaps cut at the transport's cap.
    pub(crate) body: &'a [u8],
    /// When it came, for delays that are given as dates.
    pub(crate) now: Timestamp,
}

impl<'a> Answer<'a> {
    /// Whether the status says that the provider took the message.
    pub(crate) const fn is_success(&self) -> bool {
        200 <= self.status && self.status < 300
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
