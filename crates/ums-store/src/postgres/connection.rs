//! Connections: how the database is reached, and what its errors mean here.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use rustls::CertificateError;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, SimpleQueryMessage, Statement};
use ums_core::{Shortage, StoreError};

use super::address::Address;
use super::codes;
use super::{CONNECT_WITHIN, STATEMENT_WITHIN};
use crate::remedy::Remedy;

/// The value of a parameter.
pub(crate) type Value<'a> = &'a (dyn ToSql + Sync);

/// What went wrong, without any value that a statement held.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Reason(String);

/// Why a statement failed, by what can be done about it.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The connection is of no more use. Whether the statement was carried out, nobody knows.
    Lost(Reason),
    /// Others were in the way; the same transaction may pass now.
    Busy(Reason),
    /// A row of that key is there already.
    Taken(Reason),
    /// The database refuses a value of the statement; another statement may pass.
    Data(Reason),
    /// The database cannot do it at this time.
    Refused(Reason),
    /// It is known what to tell the caller.
    Store(StoreError),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    /// The database did not answer in time.
    pub(crate) fn hung() -> Self {
        Self::Lost(Reason("the database did not answer in time".to_owned()))
    }

    /// Others were in the way more often than it can be tried.
    pub(crate) fn contended() -> Self {
        Self::Busy(Reason("others were in the way again and again".to_owned()))
    }

    /// What a caller is told when nothing was written.
    pub(crate) fn not_written(self) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Data(reason) => StoreError::RefusedData(reason.0),
            Self::Lost(reason) | Self::Busy(reason) | Self::Taken(reason) | Self::Refused(reason) => {
                StoreError::Unavailable(Box::new(reason))
            }
        }
    }

    /// What a caller is told when it failed during a commit.
    pub(crate) fn at_commit(self) -> StoreError {
        match self {
            Self::Lost(reason) => StoreError::CommitUnknown(Box::new(reason)),
            fault @ (Self::Store(_) | Self::Busy(_) | Self::Taken(_) | Self::Data(_) | Self::Refused(_)) => fault.not_written(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(reason) | Self::Busy(reason) | Self::Taken(reason) | Self::Data(reason) | Self::Refused(reason) => reason.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            return of_database(db);
        }
        if let Some(why) = untrusted(&error) {
            return unusable(why);
        }
        // A value that could not be encoded or decoded is named by its place only.
        let cause = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
        let reason = Reason(match cause {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        });
        Self::Lost(reason)
    }
}

/// A database that cannot be used as it is.
pub(crate) fn unusable(why: String) -> Fault {
    Fault::Store(StoreError::Unusable(why))
}

/// Why TLS was not agreed on for good, and which setting says otherwise.
fn untrusted(error: &tokio_postgres::Error) -> Option<String> {
    let source = std::error::Error::source(error)?;
    if source.to_string() == "server does not support TLS" {
        return Some("PostgreSQL offers no TLS, but sslmode of the URL asks for it; set ssl = on at the server".to_owned());
    }
    let inner = source.downcast_ref::<std::io::Error>()?.get_ref()?;
    let rustls::Error::InvalidCertificate(why) = inner.downcast_ref::<rustls::Error>()? else {
        return None;
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's list is open")]
    let (why, what) = match why {
        CertificateError::UnknownIssuer => ("no authority that is trusted signed it", "name its authority by sslrootcert=FILE"),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ("it is another host's", "connect by a name that it holds, or set sslmode=verify-ca")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => ("it has expired", "renew it at the server"),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("it is not valid yet", "look at the clocks of both machines")
        }
        _ => (
            "it cannot be a server's, as one that signs itself by openssl req -x509",
            "give the server one that an authority signed, and name the authority by sslrootcert=FILE",
        ),
    };
    Some(format!("the certificate of PostgreSQL is not trusted: {why}; {what}"))
}

fn of_database(error: &DbError) -> Fault {
    let code = error.code().code();
    let place = || error.constraint().or(error.column()).or(error.table()).unwrap_or("in a statement");
    let reason = Reason(if codes::may_hold_data(code) {
        format!("error {code} {}", place())
    } else {
        format!("error {code}: {}", error.message())
    });
    match codes::remedy(code) {
        Remedy::Again => Fault::Busy(reason),
        Remedy::Reconnect => Fault::Lost(reason),
        Remedy::Wait => Fault::Refused(reason),
        Remedy::LookAgain => Fault::Taken(reason),
        Remedy::ReplaceTexts => Fault::Data(reason),
        // The message names a user, a database, a table or a schema; it holds no data.
        Remedy::Refuse(what_to_do) => unusable(format!("PostgreSQL refuses: {}; {what_to_do}", error.message())),
    }
}

/// Why there is no connection. A shortage of our own says nothing of the database.
fn not_connected(error: tokio_postgres::Error) -> Fault {
    match Shortage::of(&error) {
        Some(shortage) => Fault::Store(StoreError::Unavailable(Box::new(shortage))),
        None => error.into(),
    }
}

/// Waits for the database no longer than callers can wait.
pub(crate) async fn within<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    tokio::time::timeout(STATEMENT_WITHIN, work)
        .await
        .unwrap_or_else(|_| Err(Fault::hung()))
}

/// A connection with its prepared statements.
pub(crate) struct Session {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session(closed {})", self.client.is_closed())
    }
}

impl Session {
    /// Connects and sets what statements here rely on.
    pub(crate) async fn open(address: &Address) -> Result<Self, Fault> {
        let session = Self::connect(address).await?;
        let settings = "SET lock_timeout = '2s'; SET statement_timeout = '4s'; SET idle_in_transaction_session_timeout = '10s';
             SET default_transaction_isolation = 'read committed'; SET jit = off;
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local');
             -- Every statement here is made for the indexes. A plan that reads a whole table looks good to a planner whose
             -- statistics are old, and is a disaster on a large one.
             SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";
        within(async { Ok(session.client.batch_execute(settings).await?) }).await?;
        Ok(session)
    }

    /// Connects, with the database's own settings.
    pub(crate) async fn connect(address: &Address) -> Result<Self, Fault> {
        let connecting = tokio::time::timeout(CONNECT_WITHIN, address.config.connect(address.tls.clone())).await;
        let (client, connection) = connecting.map_err(|_| Fault::hung())?.map_err(not_connected)?;
        // It ends when the client is dropped or the connection breaks, which the client tells.
        drop(tokio::spawn(async move { drop(connection.await) }));
        Ok(Self {
            client,
            statements: Mutex::default(),
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs statements without parameters.
    pub(crate) async fn run(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Begins a transaction. False where a pooler allows none: PgBouncer by statement answers with a protocol violation
    /// (<https://www.pgbouncer.org/config.html>, `pool_mode`).
    pub(crate) async fn begin(&self) -> Result<bool, Fault> {
        match self.client.batch_execute("BEGIN").await {
            Err(error) if error.code() == Some(&SqlState::PROTOCOL_VIOLATION) => Ok(false),
            begun => Ok(begun.map(|()| true)?),
        }
    }

    /// Runs a statement that is not prepared, and returns its rows as text.
    pub(crate) async fn simple(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Fault> {
        within(async { Ok(self.client.simple_query(sql).await?) }).await
    }

    /// Runs a statement and returns its rows. Statements that are awaited together go out together.
    pub(crate) async fn query(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query(&statement, values).await?)
    }

    /// Runs a statement and returns how many rows it wrote.
    pub(crate) async fn execute(&self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.execute(&statement, values).await?)
    }

    async fn statement(&self, sql: &'static str) -> Result<Statement, Fault> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(sql, statement.clone());
        Ok(statement)
    }
}
