//! The journal: one line of JSON for each message that came, appended to a file before it is answered.
//!
//! The recorder forgets when it is full and dies with the process. The journal does neither, so that
//! a judge can hold what really arrived against what the engine claims.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use serde::Serialize;

use crate::fault_board::lock;
use crate::{Error, Mode, Provider, SimMessage, clock};

/// Where arrivals are written, if anywhere.
#[derive(Debug, Default)]
pub(crate) struct Journal(Option<Mutex<File>>);

#[derive(Serialize)]
struct Line<'a> {
    at: jiff::Timestamp,
    provider: Provider,
    /// `recorded`, or `refused` by a fault before anything of it was kept.
    verdict: &'static str,
    fault: Option<Mode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Arrival<'a>>,
}

/// What a message says of itself. Text messages carry no ids of the sender's: there the text must tell.
#[derive(Serialize)]
struct Arrival<'a> {
    /// The id that we gave it.
    id: &'a str,
    to: &'a [String],
    subject: Option<&'a str>,
    body: Option<&'a str>,
    tags: &'a std::collections::BTreeMap<String, String>,
    custom_args: &'a std::collections::BTreeMap<String, String>,
    /// The sender's id of an SMTP transaction (RFC 3461).
    envelope_id: Option<&'a str>,
}

impl Journal {
    /// Opens a journal to append to; none writes nothing.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let opened = File::options().create(true).append(true).open(path);
        let file = opened.map_err(|source| Error::Journal {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self(Some(Mutex::new(file))))
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Writes that a message was recorded.
    pub(crate) fn recorded(&self, message: &SimMessage) {
        self.write(&Line {
            at: message.received_at,
            provider: message.provider,
            verdict: "recorded",
            fault: message.fault,
            message: Some(Arrival {
                id: &message.id,
                to: &message.to,
                subject: message.subject.as_deref(),
                body: message.body.as_deref(),
                tags: &message.tags,
                custom_args: &message.custom_args,
                envelope_id: message.params.get("ENVID").map(String::as_str),
            }),
        });
    }

    /// Writes that a fault turned a message away.
    pub(crate) fn refused(&self, provider: Provider, fault: Mode) {
        self.write(&Line {
            at: clock::now(),
            provider,
            verdict: "refused",
            fault: Some(fault),
            message: None,
        });
    }

    fn write(&self, line: &Line<'_>) {
        let Some(file) = &self.0 else {
            return;
        };
        let written = serde_json::to_vec(line).map_err(std::io::Error::from).and_then(|mut text| {
            text.push(b'\n');
            // One write for the line, so that no reader sees half of it.
            lock(file).write_all(&text)
        });
        if let Err(fault) = written {
            tracing::error!(%fault, "an arrival could not be written to the journal");
        }
    }
}
