//! Messages to store, numbered: the same number makes the same message.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{
    AccountId, ActKind, ActRecord, Attachment, AttemptId, AttemptRecord, Channel, Content, Email, EmailAddress, Handling, Header,
    IdempotencyKey, ListName, Mailbox, Message, MessageId, MessageRecord, NewMessage, Occasion, PhoneNumber, ProviderKind, Purpose, Skip,
    SkipReason, Sms, SmsSender, Status, Step, TenantId, Timestamp, Work,
};
use uuid::Uuid;

/// A message of the suite, made by its number.
#[derive(Clone, Debug)]
pub struct Sample {
    number: u32,
    channel: Channel,
    purpose: Purpose,
    list: Option<ListName>,
    tenant: TenantId,
    /// Bytes of its attachment and of its HTML, for a large one.
    large: Option<(usize, usize)>,
}

impl Sample {
    /// An e-mail with everything that an e-mail can have.
    pub fn email(number: u32) -> Self {
        Self {
            number,
            channel: Channel::Email,
            purpose: Purpose::Transactional,
            list: None,
            tenant: TenantId::default(),
            large: None,
        }
    }

    /// A text message.
    pub fn sms(number: u32) -> Self {
        Self {
            channel: Channel::Sms,
            ..Self::email(number)
        }
    }

    /// The same e-mail with an attachment and HTML of so many bytes.
    #[must_use]
    pub fn large(mut self, attachment: usize, html: usize) -> Self {
        self.large = Some((attachment, html));
        self
    }

    /// The same for a purpose.
    #[must_use]
    pub fn purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }

    /// The same as mail to many of a mailing list.
    #[must_use]
    pub fn list(mut self, list: ListName) -> Self {
        self.list = Some(list);
        self.purpose(Purpose::Bulk)
    }

    /// What it is to its recipients.
    pub fn occasion(&self) -> Occasion {
        Occasion {
            purpose: self.purpose,
            list: self.list.clone(),
        }
    }

    /// The same of a tenant.
    #[must_use]
    pub fn of(mut self, tenant: &str) -> Self {
        self.tenant = TenantId::new(tenant);
        self
    }

    /// Its id; greater numbers have greater ids.
    pub fn id(&self) -> MessageId {
        MessageId::from_uuid(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + u128::from(self.number)))
    }

    /// When it was accepted: its number in seconds after a fixed time.
    pub fn accepted_at(&self) -> Timestamp {
        moment(u64::from(self.number))
    }

    /// The message.
    pub fn message(&self) -> Result<Arc<Message>, Box<dyn std::error::Error>> {
        let content = match self.channel {
            Channel::Email => Content::Email(self.email_content()?),
            Channel::Sms => Content::Sms(Sms {
                to: PhoneNumber::parse_e164("+14165550123")?,
                from: Some(SmsSender::Alphanumeric("Shop".to_owned())),
                body: format!("Message {}: grüße 🎉", self.number),
            }),
        };
        let handling = Handling {
            purpose: self.purpose,
            duplicates: self.purpose.default_duplicates(),
            on_exhausted: Some(ums_core::OnExhausted::Hold),
            via: Some(ProviderKind::SendGrid),
            send_at: Some(moment(7)),
            expires_in: Some(Duration::from_millis(90_061_001)),
            list: self.list.clone(),
        };
        let metadata = serde_json::json!({ "order": self.number, "rate": 0.1 + 0.2, "vip": true, "note": "Grüße \u{0}\"", "none": null });
        let metadata = metadata.as_object().cloned().unwrap_or_default();
        let accepted_at = self.accepted_at();
        let expires_at = accepted_at + handling.expires_in.unwrap_or_default();
        Ok(Arc::new(Message {
            id: self.id(),
            tenant: self.tenant.clone(),
            content,
            handling,
            metadata,
            accepted_at,
            expires_at,
        }))
    }

    fn email_content(&self) -> Result<Email, Box<dyn std::error::Error>> {
        let mailbox = |name: Option<&str>, address: &str| -> Result<Mailbox, Box<dyn std::error::Error>> {
            Ok(Mailbox::new(name, EmailAddress::parse(address)?)?)
        };
        let (attachment, html) = self.large.map_or_else(
            || (vec![0, 255, 13, 10], "<p>Thank you</p>".to_owned()),
            |(attachment, html)| {
                let bytes = (0..attachment).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1]);
                (bytes.collect(), format!("<p>{}</p>", "ü\"".repeat(html / 3)))
            },
        );
        Ok(Email {
            from: Some(mailbox(Some("Größe & Söhne"), "shop@example.org")?),
            to: vec![mailbox(None, &format!("customer{}@example.com", self.number))?],
            cc: vec![mailbox(Some("Copy"), "copy@example.com")?],
            bcc: vec![mailbox(None, "hidden@example.net")?],
            reply_to: vec![mailbox(None, "answers@example.org")?],
            subject: format!("Receipt {} 🎉", self.number),
            html: Some(html),
            text: Some("Thank you".to_owned()),
            attachments: vec![Attachment {
                filename: "receipt.pdf".to_owned(),
                content_type: "application/pdf".to_owned(),
                content: Arc::from(attachment),
                inline: true,
                content_id: Some("receipt".to_owned()),
            }],
            headers: vec![Header {
                name: "X-Order".to_owned(),
                value: "42".to_owned(),
            }],
        })
    }

    /// The message as it is handed to a store, without an intent: it has ended, waits until a time, or is in hand.
    pub fn new_message(&self, status: Status, due_at: Option<Timestamp>) -> Result<NewMessage, Box<dyn std::error::Error>> {
        let message = self.message()?;
        let recipients = MessageRecord::accepted(Arc::clone(&message), status).recipients;
        Ok(NewMessage {
            message,
            status,
            error: None,
            work: work(status, due_at),
            recipients,
            intent: None,
            skips: Vec::new(),
            idempotency: None,
            notices: Vec::new(),
        })
    }

    /// The message with an intent, as it is when a provider is about to be called.
    pub fn sending(&self) -> Result<NewMessage, Box<dyn std::error::Error>> {
        Ok(NewMessage {
            intent: Some(self.intent(1)),
            ..self.new_message(Status::Sending, None)?
        })
    }

    /// The intent of one of its attempts.
    pub fn intent(&self, attempt: u32) -> AttemptRecord {
        // Ids fall while attempts go on: their order must come from the store, not from the ids.
        let id = u128::from(self.number) << 32 | u128::from(u32::MAX - attempt);
        let id = AttemptId::from_uuid(Uuid::from_u128(0x0199_0000_0000_7000_9000_0000_0000_0000 | id));
        let provider = if self.channel == Channel::Email {
            ProviderKind::AwsSes
        } else {
            ProviderKind::AwsSns
        };
        let everybody = (0..self.recipients()).collect();
        AttemptRecord::intent(id, provider, AccountId::default(), self.accepted_at(), everybody)
    }

    /// How many recipients it has.
    pub fn recipients(&self) -> usize {
        match self.channel {
            Channel::Email => 3,
            Channel::Sms => 1,
        }
    }

    /// A step to a status that changes nothing else; the message has ended with it, or is in hand.
    pub fn step(&self, status: Status) -> Step {
        Step {
            tenant: self.tenant.clone(),
            message_id: self.id(),
            occasion: self.occasion(),
            attempts: Vec::new(),
            skips: Vec::new(),
            status,
            error: None,
            work: work(status, None),
            sent_at: None,
            delivered_at: None,
            recipients: None,
            token: ums_core::FIRST_TOKEN,
            act: None,
            expires_at: None,
            forget_body: false,
            forget_body_at: None,
            events: Vec::new(),
            suppress: Vec::new(),
            lift: Vec::new(),
            undo: Vec::new(),
            notices: Vec::new(),
            list_notices: Vec::new(),
        }
    }

    /// The tenant.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

/// The work of a message with one recipient.
fn work(status: Status, due_at: Option<Timestamp>) -> Work {
    if status.is_final() {
        Work::Ended
    } else {
        due_at.map_or(Work::InHand, Work::Due)
    }
}

/// A fixed time and some seconds.
pub(super) fn moment(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_795_341_600_000_001) + Duration::from_secs(seconds)
}

/// A provider that was passed over.
pub(super) fn skip(provider: ProviderKind, reason: SkipReason) -> Skip {
    Skip {
        provider,
        account: AccountId::new("spare"),
        at: moment(3),
        reason,
        detail: "reopens in 30 s".to_owned(),
    }
}

/// Something that an operator did.
pub(super) fn act(kind: ActKind, detail: &str) -> ActRecord {
    ActRecord {
        at: moment(4),
        kind,
        detail: detail.to_owned(),
    }
}

/// A caller's key that is good for a long time.
pub(super) fn key(key: &str, request: u8) -> IdempotencyKey {
    IdempotencyKey {
        key: key.to_owned(),
        fingerprint: [request; 32],
        expires_at: Timestamp::from_micros(i64::MAX),
    }
}
