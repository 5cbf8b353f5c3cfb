//! The service that a command talks to: the engine in this process, or one that runs elsewhere.

use std::sync::Arc;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use ums_core::{HealthReport, MessageFilter, MessageId, MessageRecord, SendEmail, SendResult, SendSms, SystemClock};
use ums_server::Replayed;
use ums_story::{Explanation, MessageStory};
use unified_messaging::{Archive, Mark, ReplayRequest, ReplaySlice, UnifiedMessagingService};

use crate::client::{Client, query};
use crate::settings::{self, explained};

/// Which service a command talks to.
#[derive(Debug, clap::Args)]
pub(crate) struct Remote {
    /// Talk to the service at this URL, with `UMS_API_KEY`; else this process does the work itself
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

impl Remote {
    /// The service, when one is named.
    pub(crate) fn client(&self) -> Option<Result<Client>> {
        self.server.as_deref().map(|url| Client::new(url, settings::api_key()))
    }
}

/// A message to send.
#[derive(Debug)]
pub(crate) enum Request {
    /// By e-mail.
    Email(Box<SendEmail>),
    /// By text message.
    Sms(Box<SendSms>),
}

/// Sends a message.
///
/// # Errors
/// When it was not accepted.
pub(crate) async fn send(remote: &Remote, request: Request) -> Result<SendResult> {
    if let Some(client) = remote.client().transpose()? {
        return match request {
            Request::Email(email) => client.post("/v1/emails", &email).await,
            Request::Sms(sms) => client.post("/v1/sms", &sms).await,
        };
    }
    let settings = settings::of_process()?;
    settings::start_quiet_log(&settings)?;
    let not_configured = settings.not_configured.clone();
    // Results go to standard output; what the console prints must not stand between them.
    let builder = UnifiedMessagingService::builder()
        .settings(settings)
        .console_output(Box::new(std::io::stderr()));
    let service = builder.build().await.map_err(explained)?;
    let sent = match request {
        Request::Email(email) => service.send_email(*email).await,
        Request::Sms(sms) => service.send_sms(*sms).await,
    };
    service.shutdown().await;
    sent.map_err(|error| settings::explained_with(error, &not_configured))
}

/// How each provider does.
///
/// # Errors
/// When the service or the store cannot be asked.
pub(crate) async fn health(remote: &Remote) -> Result<HealthReport> {
    if let Some(client) = remote.client().transpose()? {
        return client.get("/v1/providers/health").await;
    }
    let settings = settings::of_process()?;
    settings::start_quiet_log(&settings)?;
    let service = UnifiedMessagingService::builder()
        .settings(settings)
        .build_aside()
        .await
        .map_err(explained)?;
    let report = service.get_provider_health();
    service.shutdown().await;
    Ok(report)
}

/// Messages that are looked at.
#[derive(Debug)]
pub(crate) enum Look {
    /// In a store on this machine.
    Archive(Records),
    /// At a running service.
    Remote(Client),
}

/// A store that may not be there yet.
#[derive(Debug)]
pub(crate) struct Records(Option<Archive>);

impl Records {
    /// Everything that is known of a message.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn record(&self, id: MessageId) -> Result<Option<MessageRecord>> {
        match &self.0 {
            Some(archive) => archive.record(id).await.map_err(explained),
            None => Ok(None),
        }
    }
}

/// A page of messages, as the HTTP interface gives it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Listing {
    /// The messages, newest first.
    pub(crate) data: Vec<SendResult>,
    /// Where the next page begins.
    pub(crate) next_cursor: Option<MessageId>,
}

impl Look {
    /// Opens the store of the settings, or a running service.
    ///
    /// # Errors
    /// When the settings are wrong or the store cannot be read.
    pub(crate) async fn open(remote: &Remote) -> Result<Self> {
        if let Some(client) = remote.client().transpose()? {
            return Ok(Self::Remote(client));
        }
        let settings = settings::of_process()?;
        settings::start_quiet_log(&settings)?;
        let archive = Archive::open(&settings, Arc::new(SystemClock::new())).await.map_err(explained)?;
        Ok(Self::Archive(Records(archive)))
    }

    /// One message.
    ///
    /// # Errors
    /// When the service or the store cannot be asked.
    pub(crate) async fn message(&self, id: MessageId) -> Result<Option<MessageStory>> {
        match self {
            Self::Archive(records) => Ok(records.record(id).await?.map(|record| MessageStory::of(&record, &[]))),
            Self::Remote(client) => client.find(&format!("/v1/messages/{id}")).await,
        }
    }

    /// A page of messages.
    ///
    /// # Errors
    /// As [`Look::message`].
    pub(crate) async fn messages(&self, filter: &MessageFilter, cursor: Option<MessageId>, limit: usize) -> Result<Listing> {
        match self {
            Self::Archive(Records(None)) => Ok(Listing::default()),
            Self::Archive(Records(Some(archive))) => {
                let page = archive.messages(filter, cursor, limit).await.map_err(explained)?;
                Ok(Listing {
                    data: page.messages.iter().map(MessageRecord::result).collect(),
                    next_cursor: page.next_cursor,
                })
            }
            Self::Remote(client) => client.get(&format!("/v1/messages?{}", query(pairs(filter, cursor, limit)))).await,
        }
    }
}

/// Who does something to messages that are stored.
#[derive(Debug)]
pub(crate) enum Acts {
    /// This process, on the store of its settings; none where there is no store yet.
    Here(Option<UnifiedMessagingService>),
    /// A running service.
    Remote(Client),
}

/// What is done to one message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// It is stopped.
    Cancel,
    /// It is sent again.
    Resend,
    /// An operator says what became of it.
    Mark(Mark),
}

impl Acts {
    /// Opens the store of the settings, or a running service.
    ///
    /// # Errors
    /// When the settings are wrong or the store cannot be used.
    pub(crate) async fn open(remote: &Remote) -> Result<Self> {
        if let Some(client) = remote.client().transpose()? {
            return Ok(Self::Remote(client));
        }
        let settings = settings::of_process()?;
        settings::start_quiet_log(&settings)?;
        let builder = UnifiedMessagingService::builder()
            .settings(settings)
            .console_output(Box::new(std::io::stderr()));
        Ok(Self::Here(Box::pin(builder.build_for_acts()).await.map_err(explained)?))
    }

    /// Does something to one message; none if there is no such message.
    ///
    /// # Errors
    /// When it cannot be done to the message as it stands, or the store or service cannot be used.
    pub(crate) async fn one(&self, act: Act, id: MessageId) -> Result<Option<SendResult>> {
        match self {
            Self::Here(None) => Ok(None),
            Self::Here(Some(service)) => {
                let done = match act {
                    Act::Cancel => service.cancel_message(id).await,
                    Act::Resend => service.resend_message(id).await,
                    Act::Mark(mark) => service.mark_message(id, mark).await,
                };
                match done {
                    Ok(result) => Ok(Some(result)),
                    Err(unified_messaging::Error::NoSuchMessage) => Ok(None),
                    Err(error) => Err(explained(error)),
                }
            }
            Self::Remote(client) => {
                let (verb, body) = match act {
                    Act::Cancel => ("cancel", None),
                    Act::Resend => ("resend", None),
                    Act::Mark(mark) => ("mark", Some(serde_json::json!({"as": mark_word(mark)}))),
                };
                client.find_after(&format!("/v1/messages/{id}/{verb}"), body.as_ref()).await
            }
        }
    }

    /// One slice of a replay.
    ///
    /// # Errors
    /// When the store or service cannot be used.
    pub(crate) async fn replay(&self, request: &ReplayRequest) -> Result<Replayed> {
        match self {
            Self::Here(None) => Ok(Replayed::from(ReplaySlice::default())),
            Self::Here(Some(service)) => service.replay_failed(request).await.map(Replayed::from).map_err(explained),
            Self::Remote(client) => {
                let filter = &request.filter;
                let body = serde_json::json!({
                    "since": filter.since, "until": filter.until, "provider": filter.provider, "purpose": filter.purpose,
                    "channel": filter.channel, "to": filter.to, "dry_run": request.dry_run, "limit": request.limit,
                    "cursor": request.cursor,
                });
                client.post("/v1/messages/replay", &body).await
            }
        }
    }

    /// Closes the store.
    pub(crate) async fn close(self) {
        if let Self::Here(Some(service)) = self {
            service.shutdown().await;
        }
    }
}

fn mark_word(mark: Mark) -> &'static str {
    match mark {
        Mark::Sent => "sent",
        Mark::Delivered => "delivered",
        Mark::Failed => "failed",
    }
}

impl Client {
    /// The story of one message.
    ///
    /// # Errors
    /// When the service cannot be asked.
    pub(crate) async fn explanation(&self, id: MessageId) -> Result<Option<Explanation>> {
        self.find(&format!("/v1/messages/{id}/explain")).await
    }
}

fn pairs(filter: &MessageFilter, cursor: Option<MessageId>, limit: usize) -> [(&'static str, Option<String>); 9] {
    [
        ("limit", Some(limit.to_string())),
        ("to", filter.to.clone()),
        ("status", filter.status.map(|word| word.to_string())),
        ("channel", filter.channel.map(|word| word.to_string())),
        ("provider", filter.provider.map(|word| word.to_string())),
        ("purpose", filter.purpose.map(|word| word.to_string())),
        ("since", filter.since.map(|at| at.to_string())),
        ("until", filter.until.map(|at| at.to_string())),
        ("cursor", cursor.map(|id| id.to_string())),
    ]
}
