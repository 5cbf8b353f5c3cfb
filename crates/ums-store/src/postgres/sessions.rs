//! Connections beside the writers': for reads, and for what is a transaction of its own.
//!
//! Only here: a file has no network that breaks.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use ums_core::StoreError;

use super::STATEMENT_WITHIN;
use super::address::Address;
use super::connection::{Fault, Session};

/// A few connections, opened when they are first needed.
#[derive(Debug)]
pub(crate) struct Sessions {
    address: Arc<Address>,
    idle: Mutex<Vec<Session>>,
    permits: Arc<Semaphore>,
}

/// A connection that is in use.
#[derive(Debug)]
pub(crate) struct Lent<'a> {
    session: Session,
    sessions: &'a Sessions,
    _permit: OwnedSemaphorePermit,
}

impl Sessions {
    pub(crate) fn new(address: Arc<Address>, connections: usize) -> Self {
        Self {
            address,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(connections.max(1))),
        }
    }

    /// Takes a connection that is idle or opens one.
    pub(crate) async fn take(&self) -> Result<Lent<'_>, StoreError> {
        let permit = tokio::time::timeout(STATEMENT_WITHIN, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit
            .map_err(|_| Fault::hung().not_written())?
            .map_err(|closed| StoreError::Unavailable(Box::new(closed)))?;
        let session = match self.idle_session() {
            Some(session) => session,
            None => Session::open(&self.address).await.map_err(Fault::not_written)?,
        };
        Ok(Lent {
            session,
            sessions: self,
            _permit: permit,
        })
    }

    fn idle_session(&self) -> Option<Session> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(session) = idle.pop() {
            if !session.is_closed() {
                return Some(session);
            }
        }
        None
    }

    /// Closes the idle connections and opens no more.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Deref for Lent<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Lent<'_> {
    /// Gives the connection back after a read, or after a transaction that nobody counts on.
    pub(crate) fn read<T>(self, result: Result<T, Fault>) -> Result<T, StoreError> {
        self.give_back(&result);
        result.map_err(Fault::not_written)
    }

    /// Gives the connection back after a transaction that may have been committed unseen.
    pub(crate) fn wrote<T>(self, result: Result<T, Fault>) -> Result<T, StoreError> {
        self.give_back(&result);
        result.map_err(Fault::at_commit)
    }

    /// A connection that failed is not used again: it may be within a transaction.
    fn give_back<T>(self, result: &Result<T, Fault>) {
        if result.is_ok() && !self.sessions.permits.is_closed() {
            self.sessions.idle.lock().unwrap_or_else(PoisonError::into_inner).push(self.session);
        }
    }
}
