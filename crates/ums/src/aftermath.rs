//! What comes after a message is sent, for commands: the suppression list and webhooks, in this process's store or at a running service.

mod webhooks;

use anyhow::{Result, bail};
use serde::Serialize;
use ums_core::{Channel, Clock as _, ListName, SuppressionFilter, SuppressionOrigin, SuppressionReason, SystemClock, TenantId, Timestamp};
use ums_server::{SuppressionList, SuppressionsAdded, SuppressionsLifted};
use unified_messaging::{Error, NewSuppression, UnifiedMessagingService, Which};

use crate::client::{Client, query};
use crate::exit::usage;
use crate::service::Remote;
use crate::settings::{self, explained};

/// Who keeps it.
#[derive(Debug)]
pub(crate) enum Aftermath {
    /// This process, in the store of its settings.
    Here(Box<UnifiedMessagingService>),
    /// A running service.
    Remote(Client),
}

/// An entry for the suppression list. Its address was parsed.
#[derive(Clone, Serialize)]
pub(crate) struct NewEntry {
    pub(crate) channel: Channel,
    pub(crate) address: String,
    pub(crate) reason: SuppressionReason,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) list: Option<ListName>,
    pub(crate) origin: SuppressionOrigin,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for NewEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewEntry({} {})", self.channel, self.reason)
    }
}

impl From<NewEntry> for NewSuppression {
    fn from(entry: NewEntry) -> Self {
        Self {
            channel: entry.channel,
            address: entry.address,
            reason: entry.reason,
            list: entry.list,
            origin: entry.origin,
            detail: entry.detail,
            since: entry.since,
            expires_at: entry.expires_at,
        }
    }
}

impl Aftermath {
    /// Opens the store of the settings, or a running service.
    ///
    /// # Errors
    /// When the settings are wrong, or there is no store that can be used.
    pub(crate) async fn open(remote: &Remote) -> Result<Self> {
        match remote.client().transpose()? {
            Some(client) => Ok(Self::Remote(client)),
            None => Ok(Self::Here(Box::new(open_here().await?))),
        }
    }

    /// Opens it, does something with it, and closes it whatever came of that.
    ///
    /// # Errors
    /// As [`Aftermath::open`], and as the work.
    pub(crate) async fn within<T>(remote: &Remote, work: impl AsyncFnOnce(&Self) -> Result<T>) -> Result<T> {
        let aftermath = Self::open(remote).await?;
        let done = work(&aftermath).await;
        aftermath.close().await;
        done
    }

    /// A page of the suppression list.
    ///
    /// # Errors
    /// When the store or service cannot be asked.
    pub(crate) async fn suppressions(&self, filter: &SuppressionFilter, cursor: Option<&str>, limit: usize) -> Result<SuppressionList> {
        match self {
            Self::Here(service) => {
                let cursor = match cursor.map(SuppressionList::read_cursor) {
                    Some(None) => return Err(usage("--cursor must be the next_cursor of the list before")),
                    cursor => cursor.flatten(),
                };
                let page = service.list_suppressions(filter, cursor.as_ref(), limit).await.map_err(explained)?;
                Ok(SuppressionList::of(&page, SystemClock::new().now()))
            }
            Self::Remote(client) => {
                let pairs = [
                    ("limit", Some(limit.to_string())),
                    ("channel", filter.channel.map(|word| word.to_string())),
                    ("reason", filter.reason.map(|word| word.to_string())),
                    ("address", filter.address.clone()),
                    ("with_lifted", filter.with_lifted.then(|| "true".to_owned())),
                    ("cursor", cursor.map(str::to_owned)),
                ];
                client.get(&format!("/v1/suppressions?{}", query(pairs))).await
            }
        }
    }

    /// Puts entries on the suppression list; how many are new on it.
    ///
    /// # Errors
    /// As [`Aftermath::suppressions`].
    pub(crate) async fn suppress(&self, entries: Vec<NewEntry>) -> Result<u64> {
        match self {
            Self::Here(service) => {
                let entries = entries.into_iter().map(NewSuppression::from).collect();
                let new = service.engine().suppress(&TenantId::default(), entries).await;
                Ok(new
                    .map_err(|error| explained(Error::from(error)))?
                    .into_iter()
                    .filter(|new| *new)
                    .count() as u64)
            }
            Self::Remote(client) => {
                let added: SuppressionsAdded = client.post("/v1/suppressions", &serde_json::json!({ "entries": entries })).await?;
                Ok(added.added)
            }
        }
    }

    /// Takes an address off the suppression list; how many entries were in force.
    ///
    /// # Errors
    /// As [`Aftermath::suppressions`].
    pub(crate) async fn unsuppress(&self, channel: Channel, address: &str, which: &Which) -> Result<u64> {
        match self {
            Self::Here(service) => {
                let lifted = service.engine().unsuppress(&TenantId::default(), channel, address, which).await;
                lifted.map_err(|error| explained(Error::from(error)))
            }
            Self::Remote(client) => {
                let pairs = [
                    ("channel", Some(channel.to_string())),
                    ("address", Some(address.to_owned())),
                    ("reason", which.reason.map(|word| word.to_string())),
                    ("list", which.list.as_ref().map(ToString::to_string)),
                ];
                let lifted: SuppressionsLifted = client.delete(&format!("/v1/suppressions?{}", query(pairs))).await?;
                Ok(lifted.lifted)
            }
        }
    }

    /// Closes the store.
    pub(crate) async fn close(self) {
        if let Self::Here(service) = self {
            service.shutdown().await;
        }
    }
}

/// Opens the store of the settings, for what is done beside the processes that send from it.
///
/// # Errors
/// When the settings are wrong, or there is no store that can be used.
pub(crate) async fn open_here() -> Result<UnifiedMessagingService> {
    let settings = settings::of_process()?;
    settings::start_quiet_log(&settings)?;
    let builder = UnifiedMessagingService::builder()
        .settings(settings)
        .console_output(Box::new(std::io::stderr()));
    match Box::pin(builder.build_for_acts()).await.map_err(explained)? {
        Some(service) => Ok(service),
        None => bail!(usage(
            "there is no store yet where UMS_DATABASE_URL says: make it with `ums migrate`, or start the service first"
        )),
    }
}
