//! One message on its way in: sender, recipients, and the fault that hit it.

use bytes::Bytes;

use super::command::Params;
use super::{MAX_MESSAGE, MAX_RECIPIENTS};
use crate::address::email_fault;
use crate::fault_board::Strike;
use crate::message::SimMessage;
use crate::recorder::Draft;
use crate::stats::InFlight;
use crate::world::World;
use crate::{Fault, Mode, Provider};

/// What a fault does to MAIL.
#[derive(Clone, Copy, Debug)]
pub(super) enum AtMail {
    /// Nothing yet.
    Proceed,
    Refuse(&'static str),
    Hang,
    Reset,
}

/// Says what a fault does to MAIL.
pub(super) fn at_mail(mode: Mode) -> AtMail {
    match mode {
        Mode::Error => AtMail::Refuse("451 4.3.0 Local error, try again later"),
        Mode::Throttle => AtMail::Refuse("454 4.7.0 Throttling failure: Maximum sending rate exceeded"),
        // Reached by those who logged in before the fault, or never.
        Mode::Unauthorized => AtMail::Refuse("530 5.7.0 Authentication required"),
        Mode::Suspended => AtMail::Refuse("550 5.7.0 Sending is suspended for this account"),
        Mode::Quota => AtMail::Refuse("550 5.4.5 Daily user sending limit exceeded"),
        Mode::Hang => AtMail::Hang,
        Mode::ResetBefore | Mode::Refuse => AtMail::Reset,
        Mode::Reject
        | Mode::Defer
        | Mode::TooMany
        | Mode::Slow
        | Mode::HangAfter
        | Mode::ResetAfter
        | Mode::Garbage
        | Mode::Truncate
        | Mode::Empty
        | Mode::Huge
        | Mode::AcceptThenError
        | Mode::Bounce
        | Mode::NeverDeliver
        | Mode::Unsubscribed => AtMail::Proceed,
    }
}

/// Says what a fault does to RCPT after so many recipients were taken; nothing where the recipient passes.
fn at_rcpt(fault: &Fault, to: &str, taken: usize) -> Option<&'static str> {
    match fault.mode {
        Mode::Reject => fault.names(to).then_some("550 5.1.1 The address does not exist"),
        Mode::Defer => fault.names(to).then_some("451 4.7.1 Greylisted, try again later"),
        Mode::TooMany => (taken >= fault.limit).then_some("452 4.5.3 Too many recipients"),
        Mode::Error
        | Mode::Refuse
        | Mode::Hang
        | Mode::ResetBefore
        | Mode::Throttle
        | Mode::Unauthorized
        | Mode::Suspended
        | Mode::Quota
        | Mode::Slow
        | Mode::HangAfter
        | Mode::ResetAfter
        | Mode::Garbage
        | Mode::Truncate
        | Mode::Empty
        | Mode::Huge
        | Mode::AcceptThenError
        | Mode::Bounce
        | Mode::NeverDeliver
        | Mode::Unsubscribed => None,
    }
}

#[derive(Debug)]
pub(super) struct Transaction {
    message: SimMessage,
    pub(super) strike: Option<Strike>,
    /// A recipient was refused by the fault.
    is_thinned: bool,
    in_flight: InFlight,
}

impl Transaction {
    /// Begins with the sender; the error is the reply.
    pub(super) fn begin(world: &World, from: String, params: Params) -> Result<Self, &'static str> {
        let counters = world.counters(Provider::Smtp);
        let in_flight = counters.request();
        counters.sent(true);
        let mut message = SimMessage::new(Provider::Smtp, String::new());
        for (name, value) in params {
            check_mail_param(&name, &value)?;
            message.params.insert(name, value);
        }
        if !from.is_empty() && email_fault(&from).is_some() {
            return Err("553 5.1.7 The sender's address is not valid");
        }
        message.params.insert("MAIL FROM".to_owned(), from.clone());
        message.from = Some(from);
        Ok(Self {
            message,
            strike: None,
            is_thinned: false,
            in_flight,
        })
    }

    /// Adds a recipient; returns the reply.
    pub(super) fn add(&mut self, to: String, params: Params) -> &'static str {
        if !params.iter().all(|(name, _)| matches!(name.as_str(), "NOTIFY" | "ORCPT")) {
            return "555 5.5.4 Parameter not recognised";
        }
        if email_fault(&to).is_some() {
            return "553 5.1.3 The recipient's address is not valid";
        }
        if self.message.to.len() >= MAX_RECIPIENTS {
            return "452 4.5.3 Too many recipients";
        }
        if let Some(reply) = self
            .strike
            .as_ref()
            .and_then(|strike| at_rcpt(&strike.fault, &to, self.message.to.len()))
        {
            self.is_thinned = true;
            return reply;
        }
        for (name, value) in params {
            self.message.params.insert(format!("{name} {to}"), value);
        }
        self.message.to.push(to);
        "250 2.1.5 Ok"
    }

    pub(super) fn has_recipients(&self) -> bool {
        !self.message.to.is_empty()
    }

    /// Ends with the message itself, accepted under that id.
    pub(super) fn end(self, id: String, mime: Bytes) -> (Draft, Option<Strike>, InFlight) {
        let mut message = self.message;
        message.id = id;
        message.received_at = crate::clock::now();
        let mode = self.strike.as_ref().map(|strike| strike.fault.mode);
        message.fault = mode.filter(|mode| self.is_thinned || !mode.acts_at_rcpt());
        message.params.insert("RCPT TO".to_owned(), message.to.join(" "));
        let draft = Draft::mime(message, mime);
        (draft, self.strike, self.in_flight)
    }
}

fn check_mail_param(name: &str, value: &str) -> Result<(), &'static str> {
    match name {
        "SIZE" => match value.parse::<usize>() {
            Ok(size) if size > MAX_MESSAGE => Err("552 5.3.4 Message too big"),
            Ok(_) => Ok(()),
            Err(_) => Err("501 5.5.4 SIZE must be a number"),
        },
        "BODY" if value.eq_ignore_ascii_case("7BIT") => Ok(()),
        "BODY" if value.eq_ignore_ascii_case("8BITMIME") => Ok(()),
        "BODY" => Err("501 5.5.4 BODY must be 7BIT or 8BITMIME"),
        "RET" | "ENVID" | "AUTH" => Ok(()),
        _ => Err("555 5.5.4 Parameter not recognised"),
    }
}
