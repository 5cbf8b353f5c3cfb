//! One message on an open session: envelope, body, and what the replies make of it.

use tokio::time::Instant;
use ums_core::{BreakerEffect, EmailAddress, Failure, FailureClass, Refusal};

use super::Inner;
use super::connection::{Session, Standing};
use super::fault::Fault;
use super::offers::Offers;
use super::reply::Stage;
use crate::mime::Message;
use crate::sender::Chosen;

/// A message made ready for the wire.
pub(super) struct Letter<'a> {
    /// The envelope's sender.
    pub(super) from: &'a EmailAddress,
    /// Whom it goes to, in order.
    pub(super) recipients: Vec<&'a EmailAddress>,
    /// Comes back in delivery reports as `Original-Envelope-Id`.
    pub(super) envelope_id: String,
    /// Whether the caller chose the sender: the account was not configured with it.
    callers_sender: bool,
    /// Bytes of the message as SIZE counts them: without the dots that are doubled on the wire.
    size: usize,
    /// Whether an address in a header has other letters than ASCII before the `@`.
    wide_header: bool,
    /// The message as it is written, its dots doubled; the final dot follows.
    message: Message,
}

impl<'a> Letter<'a> {
    /// Makes a message ready.
    pub(super) fn new(sender: &Chosen<'a>, recipients: Vec<&'a EmailAddress>, envelope_id: String, message: Message) -> Self {
        Self {
            wide_header: sender.reply_to.iter().any(|mailbox| mailbox.address.needs_smtputf8()),
            from: &sender.from.address,
            recipients,
            envelope_id,
            callers_sender: sender.callers,
            size: message.len(),
            message: message.with_dots_doubled(),
        }
    }

    /// Whether the addresses of envelope and header need SMTPUTF8 (RFC 6531).
    fn needs_smtp_utf8(&self) -> bool {
        self.wide_header || self.from.needs_smtputf8() || self.recipients.iter().any(|address| address.needs_smtputf8())
    }

    /// What this server cannot carry, found before anything is said.
    fn check(&self, offers: &Offers) -> Result<(), Failure> {
        if self.needs_smtp_utf8() && !offers.smtp_utf8 {
            let detail = "an address with other letters than ASCII before the at sign, and the server does not offer SMTPUTF8";
            return Err(Failure::local(FailureClass::Unsupported, "smtputf8_not_offered", detail));
        }
        let limit = offers.size.unwrap_or(0);
        if limit > 0 && u64::try_from(self.size).unwrap_or(u64::MAX) > limit {
            let detail = format!("the message is larger than the server's limit of {limit} bytes");
            return Err(Failure::local(FailureClass::Unsupported, "message_too_large", &detail));
        }
        Ok(())
    }

    /// MAIL as this server can take it; `dsn` for the parameters of RFC 3461.
    fn mail_command(&self, offers: &Offers, dsn: bool) -> String {
        let mut line = String::with_capacity(192 + 96 * self.recipients.len());
        line.push_str("MAIL FROM:<");
        line.push_str(self.from.expose());
        line.push('>');
        if offers.size.is_some() {
            line.push_str(" SIZE=");
            line.push_str(&self.size.to_string());
        }
        if offers.eight_bit {
            line.push_str(" BODY=8BITMIME");
        }
        if self.needs_smtp_utf8() {
            line.push_str(" SMTPUTF8");
        }
        if dsn {
            line.push_str(" RET=HDRS ENVID=");
            line.push_str(&self.envelope_id);
        }
        line.push_str("\r\n");
        line
    }

    fn rcpt_command(to: &EmailAddress, dsn: bool) -> String {
        let notify = if dsn { " NOTIFY=FAILURE,DELAY" } else { "" };
        format!("RCPT TO:<{}>{notify}\r\n", to.expose())
    }
}

/// How a message that was not delivered may be handed over after all. Nothing of its content was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// On a fresh connection: the one that was used again had ended, or something of it had, while it lay idle.
    OnFreshConnection,
    /// Without the parameters of DSN, which the server announces and refuses.
    WithoutDsn,
}

/// Why a message was not delivered on a session.
pub(super) struct Failed {
    failure: Failure,
    /// Whether the server refuses the sender.
    about_sender: bool,
    /// Whether it may be handed over after all, before the failure counts.
    pub(super) again: Option<Again>,
}

impl Failed {
    /// The failure of a letter. A sender that the caller chose and the server refuses is no fault of the configuration.
    pub(super) fn into_failure(self, letter: &Letter<'_>) -> Failure {
        let mut failure = self.failure;
        if self.about_sender && letter.callers_sender {
            failure.class = FailureClass::Unsupported;
        }
        failure
    }

    fn again(self, again: Again) -> Self {
        Self {
            again: Some(again),
            ..self
        }
    }
}

impl From<Failure> for Failed {
    /// What was found without a reply, or is about a recipient.
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            about_sender: false,
            again: None,
        }
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self {
            about_sender: fault.is_about_sender(),
            ..Self::from(fault.into_failure())
        }
    }
}

/// One message on one session.
pub(super) struct Dialogue<'a> {
    pub(super) session: &'a mut Session,
    pub(super) inner: &'a Inner,
    pub(super) letter: &'a Letter<'a>,
    /// When the message's own time is up.
    pub(super) until: Instant,
    /// Whether the parameters of DSN are given, if the server offers DSN.
    pub(super) dsn: bool,
}

impl Dialogue<'_> {
    /// Hands the message over; gives back the recipients that were refused while others were accepted. A failure carries the
    /// recipients that the server had refused one by one.
    pub(super) async fn run(mut self) -> Result<Vec<Refusal>, Failed> {
        let recipients = self.letter.recipients.len();
        let mut answers = Answers::default();
        match self.hand_over(&mut answers).await {
            Ok(()) => Ok(answers.refused),
            // The only recipient's refusal is the failure itself.
            Err(failed) if recipients == 1 => Err(failed),
            Err(failed) => Err(Failed {
                failure: failed.failure.with_refusals(answers.of_a_failed_call()),
                ..failed
            }),
        }
    }

    async fn hand_over(&mut self, answers: &mut Answers) -> Result<(), Failed> {
        self.letter.check(&self.session.offers).map_err(Failed::from)?;
        self.reset().await?;
        if self.session.offers.pipelining {
            self.envelope_at_once(answers).await?;
        } else {
            self.envelope_stepwise(answers).await?;
        }
        self.body().await
    }

    /// Ends the transaction that the message before left open.
    async fn reset(&mut self) -> Result<(), Failed> {
        let before = std::mem::replace(&mut self.session.standing, Standing::Busy);
        if before == Standing::OpenTransaction {
            let said = self.say(Stage::Mail, "RSET\r\n").await;
            said.map_err(|fault| self.failed_before_mail(fault))?;
        }
        Ok(())
    }

    /// Notes where a refusal leaves the session.
    fn leave(&mut self, fault: &Fault, standing: Standing) {
        self.session.standing = if fault.ends_connection() { Standing::Busy } else { standing };
    }

    async fn say(&mut self, stage: Stage, command: &str) -> Result<(), Fault> {
        self.session.command(self.inner, stage, self.until, command).await.map(drop)
    }

    async fn hear(&mut self, stage: Stage) -> Result<(), Fault> {
        self.session.next_reply(self.inner, stage, self.until).await.map(drop)
    }

    /// Whether the parameters of DSN are given now.
    fn gives_dsn(&self) -> bool {
        self.dsn && self.session.offers.dsn && !self.inner.learned.refuses_dsn()
    }

    /// MAIL, each RCPT and DATA in one write, then the replies in order (RFC 2920).
    async fn envelope_at_once(&mut self, answers: &mut Answers) -> Result<(), Failed> {
        let letter = self.letter;
        let dsn = self.gives_dsn();
        let mut group = letter.mail_command(&self.session.offers, dsn);
        for to in &letter.recipients {
            group.push_str(&Letter::rcpt_command(to, dsn));
        }
        group.push_str("DATA\r\n");

        if let Err(fault) = self.say(Stage::Mail, &group).await {
            let ends = fault.ends_connection();
            let failed = if dsn && fault.refuses_dsn() {
                Failed::from(fault).again(Again::WithoutDsn)
            } else {
                self.failed_before_mail(fault)
            };
            // A connection that is in doubt is not waited for.
            if !ends && failed.again != Some(Again::OnFreshConnection) {
                self.hear_the_rest().await;
            }
            return Err(failed);
        }
        let mut dsn_refused = None;
        for to in &letter.recipients {
            match self.hear(Stage::Rcpt).await {
                Err(fault) if dsn && fault.refuses_dsn() => dsn_refused = Some(fault),
                said => answers.note(to, said, letter).map_err(Failed::from)?,
            }
        }
        let data = self.hear(Stage::Data).await;

        // Refused, and yet the server waits for a body: RFC 2920 §3.1 would send it a single dot. The connection is closed before
        // the dot instead, which delivers nothing to nobody whatever the server made of the refusals. The same when the transaction
        // is to be repeated for all.
        if let Err(fault) = &data {
            self.leave(fault, Standing::OpenTransaction);
        }
        if let Some(fault) = dsn_refused {
            return Err(Failed::from(fault).again(Again::WithoutDsn));
        }
        answers.somebody_is_left()?;
        data.map_err(Failed::from)
    }

    /// The sender was refused in a group: the replies to the rest of the group (503, mostly) say nothing of the recipients. They are
    /// read so that the connection can serve on.
    async fn hear_the_rest(&mut self) {
        for _ in &self.letter.recipients {
            if self.hear(Stage::Rcpt).await.is_err_and(|fault| fault.ends_connection()) {
                return;
            }
        }
        if let Err(fault) = self.hear(Stage::Data).await {
            self.leave(&fault, Standing::Ready);
        }
    }

    /// The classic dialogue, one command at a time.
    async fn envelope_stepwise(&mut self, answers: &mut Answers) -> Result<(), Failed> {
        let letter = self.letter;
        let offers = self.session.offers.clone();
        if let Err(fault) = self.ask(Stage::Mail, |dsn| letter.mail_command(&offers, dsn)).await {
            self.leave(&fault, Standing::Ready);
            return Err(self.failed_before_mail(fault));
        }
        for to in &letter.recipients {
            let said = self.ask(Stage::Rcpt, |dsn| Letter::rcpt_command(to, dsn)).await;
            answers.note(to, said, letter).map_err(Failed::from)?;
        }
        self.session.standing = Standing::OpenTransaction;
        answers.somebody_is_left()?;
        if let Err(fault) = self.say(Stage::Data, "DATA\r\n").await {
            self.leave(&fault, Standing::OpenTransaction);
            return Err(Failed::from(fault));
        }
        Ok(())
    }

    /// Says one command of the envelope; once more without DSN, if the server refuses that.
    async fn ask(&mut self, stage: Stage, command: impl Fn(bool) -> String) -> Result<(), Fault> {
        let dsn = self.gives_dsn();
        match self.say(stage, &command(dsn)).await {
            Err(fault) if dsn && fault.refuses_dsn() => {
                self.say(stage, &command(false)).await?;
                self.inner.learned.note_dsn_refused();
                Ok(())
            }
            said => said,
        }
    }

    /// Message and final dot. Whether the dot was handed over is the stream's own count.
    async fn body(&mut self) -> Result<(), Failed> {
        self.session.standing = Standing::Busy;
        let before = self.session.line.handed();
        let Err(fault) = self.session.message(self.inner, self.until, &self.letter.message).await else {
            self.session.standing = Standing::Ready;
            return Ok(());
        };
        self.leave(&fault, Standing::Ready);
        let handed = self.session.line.handed().saturating_sub(before);
        let before_dot = u64::try_from(self.letter.message.len()).unwrap_or(u64::MAX);
        let dot_was_handed = handed > before_dot;
        Err(Failed {
            about_sender: fault.is_about_sender(),
            ..Failed::from(if dot_was_handed {
                fault.into_failure_after_dot()
            } else {
                fault.into_failure()
            })
        })
    }

    /// Nothing of the message was taken yet. On a connection that is used again, a refusal that would count against the server may come
    /// from what happened to the session while it lay idle: it had timed out (421 or 451 4.4.2), its messages or its login are used up,
    /// or the connection was closed. A fresh connection tells. Silence does not count: the server hangs, and would take up the same time
    /// once more.
    fn failed_before_mail(&self, fault: Fault) -> Failed {
        let (ends, hangs) = (fault.ends_connection(), fault.is_timeout());
        let failed = Failed::from(fault);
        let class = if failed.about_sender && self.letter.callers_sender {
            FailureClass::Unsupported
        } else {
            failed.failure.class
        };
        let counts = !matches!(class.consequence().breaker, BreakerEffect::NotCounted | BreakerEffect::Pauses);
        if self.session.reused && !hangs && (ends || counts) {
            failed.again(Again::OnFreshConnection)
        } else {
            failed
        }
    }
}

/// What the server said to each RCPT of a transaction.
#[derive(Default)]
struct Answers {
    accepted: usize,
    refused: Vec<Refusal>,
}

impl Answers {
    /// Notes the answer for one recipient; gives the fault back when the connection ended with it, which says nothing of the
    /// recipient.
    fn note(&mut self, to: &EmailAddress, said: Result<(), Fault>, letter: &Letter<'_>) -> Result<(), Fault> {
        match said {
            Ok(()) => self.accepted += 1,
            Err(fault) if fault.ends_connection() => return Err(fault),
            Err(fault) => self.refused.push(Refusal {
                address: to.clone(),
                next_transaction: self.accepted > 0 && fault.fills_transaction(),
                // Servers look at the sender in reply to RCPT, too.
                failure: Failed::from(fault).into_failure(letter),
            }),
        }
        Ok(())
    }

    /// When nobody is left, the call fails as a refusal that leaves hope, if there is one.
    fn somebody_is_left(&self) -> Result<(), Failed> {
        let hopeful = |refusal: &&Refusal| refusal.failure.class != FailureClass::InvalidRecipient;
        let chosen = self.refused.iter().find(hopeful).or(self.refused.first());
        match chosen.filter(|_| self.accepted == 0) {
            None => Ok(()),
            Some(refusal) => Err(Failed::from(refusal.failure.clone())),
        }
    }

    /// The refusals of a call that failed: no transaction follows it.
    fn of_a_failed_call(self) -> Vec<Refusal> {
        let without = |refusal| Refusal {
            next_transaction: false,
            ..refusal
        };
        self.refused.into_iter().map(without).collect()
    }
}
