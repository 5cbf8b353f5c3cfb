//! A message that was accepted, as tests look at it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::{Mode, Provider, clock};

/// A message that a provider accepted.
///
/// Addresses are bare (`a@b.example`), without display names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SimMessage {
    /// Number in the order of arrival, from 1, never reused.
    pub seq: u64,
    /// The id that the provider gave it in its answer.
    pub id: String,
    /// Who accepted it.
    pub provider: Provider,
    /// Recipients: addresses or telephone numbers.
    pub to: Vec<String>,
    /// Recipients of a copy.
    pub cc: Vec<String>,
    /// Recipients of a blind copy.
    pub bcc: Vec<String>,
    /// The sender's address, number, sender id or messaging service.
    pub from: Option<String>,
    /// The sender's display name.
    pub from_name: Option<String>,
    /// Where answers shall go.
    pub reply_to: Vec<String>,
    /// Subject of an e-mail.
    pub subject: Option<String>,
    /// Plain text of an e-mail.
    pub text: Option<String>,
    /// HTML of an e-mail.
    pub html: Option<String>,
    /// Text of an SMS.
    pub body: Option<String>,
    /// Headers of an e-mail that the caller set; repeated ones joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// Attached files.
    pub attachments: Vec<Attachment>,
    /// SES's `EmailTags`, SendGrid's `categories` (as keys).
    pub tags: BTreeMap<String, String>,
    /// SendGrid's `custom_args`.
    pub custom_args: BTreeMap<String, String>,
    /// What else the request said, by the provider's own names.
    pub params: BTreeMap<String, String>,
    /// Path of the request, without the query.
    pub path: String,
    /// The request's body, or the MIME message.
    pub raw: String,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// The fault that hit the request, if any.
    pub fault: Option<Mode>,
}

/// A file attached to an e-mail.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Attachment {
    /// Its name.
    pub filename: Option<String>,
    /// Its media type.
    pub content_type: Option<String>,
    /// Its length in bytes, decoded.
    pub size: usize,
    /// `attachment` or `inline`.
    pub disposition: Option<String>,
    /// The id that HTML refers to.
    pub content_id: Option<String>,
}

impl SimMessage {
    pub(crate) fn new(provider: Provider, id: String) -> Self {
        Self {
            seq: 0,
            id,
            provider,
            to: Vec::new(),
            cc: Vec::new(),
            bcc: Vec::new(),
            from: None,
            from_name: None,
            reply_to: Vec::new(),
            subject: None,
            text: None,
            html: None,
            body: None,
            headers: BTreeMap::new(),
            attachments: Vec::new(),
            tags: BTreeMap::new(),
            custom_args: BTreeMap::new(),
            params: BTreeMap::new(),
            path: String::new(),
            raw: String::new(),
            received_at: clock::now(),
            fault: None,
        }
    }

    /// Tells whether the address is among the recipients, whatever its case.
    pub fn is_for(&self, recipient: &str) -> bool {
        [&self.to, &self.cc, &self.bcc]
            .into_iter()
            .flatten()
            .any(|address| address.eq_ignore_ascii_case(recipient))
    }
}
