//! What went wrong in a dialogue, until it is known what that means for the message.

use std::error::Error as _;

use lettre::transport::smtp::Error as SmtpError;
use ums_core::{Failure, FailureClass};

use super::manners;
use super::reply::{Stage, classify_reply, fills_transaction, refuses_sender, reply_code};
use super::stream::{Ending, Line};

/// What went wrong in a dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server said so: `550 5.1.1 …`.
    Reply(Stage, String),
    /// No reply that could be read.
    Lost(Stage, Ending),
}

impl Fault {
    /// Whether the server is gone after it.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Reply(_, reply) => reply_code(reply) == Some(421),
            Self::Lost(..) => true,
        }
    }

    /// Whether no reply came in time, while the connection stood.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(self, Self::Lost(_, Ending::Timeout))
    }

    /// Whether the server takes no more recipients in this transaction, and the rest in its next one.
    pub(super) fn fills_transaction(&self) -> bool {
        matches!(self, Self::Reply(Stage::Rcpt, reply) if fills_transaction(reply))
    }

    /// Whether the server refuses the mechanism of login, not the credentials.
    pub(super) fn refuses_mechanism(&self) -> bool {
        matches!(self, Self::Reply(Stage::Auth, reply) if manners::refuses_mechanism(reply))
    }

    /// Whether the server refuses parameters of DSN.
    pub(super) fn refuses_dsn(&self) -> bool {
        matches!(self, Self::Reply(Stage::Mail | Stage::Rcpt, reply) if manners::refuses_dsn(reply))
    }

    /// Whether the server refuses the sender.
    pub(super) fn is_about_sender(&self) -> bool {
        matches!(self, Self::Reply(stage, reply) if refuses_sender(*stage, reply))
    }

    /// The failure, when the final dot was not handed over, or was answered.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Reply(stage, reply) => {
                classify_reply(stage, &reply).unwrap_or_else(|| lost(stage, Ending::Unreadable, FailureClass::Unavailable))
            }
            Self::Lost(stage, ending) => lost(stage, ending, FailureClass::Unavailable),
        }
    }

    /// The failure after the final dot was handed over: without an answer nobody knows.
    pub(super) fn into_failure_after_dot(self) -> Failure {
        match self {
            Self::Lost(stage, ending) => lost(stage, ending, FailureClass::Unknown),
            Self::Reply(..) => self.into_failure(),
        }
    }
}

/// The failure for a dialogue that ended without a reply.
fn lost(stage: Stage, ending: Ending, class: FailureClass) -> Failure {
    let (code, what) = match ending {
        Ending::Closed => ("connection_lost", "the connection was lost"),
        Ending::Timeout => ("timeout", "no reply in time"),
        Ending::Unreadable => ("unreadable_reply", "the reply is not SMTP"),
        Ending::Shortage(shortage) if class == FailureClass::Unavailable => return shortage.into(),
        Ending::Shortage(shortage) => (shortage.code(), shortage.words()),
    };
    Failure::transport(class, code, &format!("{what} at {stage}"))
}

/// Reads lettre's error: a negative reply, or what our stream saw.
pub(super) fn read_error(stage: Stage, line: &Line, error: &SmtpError) -> Fault {
    match error.status() {
        Some(code) => {
            let text = error.source().map(ToString::to_string).unwrap_or_default();
            Fault::Reply(stage, format!("{code} {text}"))
        }
        None => Fault::Lost(stage, line.ending().unwrap_or(Ending::Unreadable)),
    }
}
