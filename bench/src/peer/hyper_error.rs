//! How long a provider takes to say no: bare hyper against one that answers 5xx or refuses.

use anyhow::{Result, ensure};
use http::StatusCode;

use super::hyper_ses::{Connection, Fixed};
use crate::measure::Peer;

/// The same request every time, which nobody takes.
pub(crate) struct Refused(Fixed);

impl Refused {
    pub(crate) fn new(url: &str) -> Result<Self> {
        Fixed::new(url).map(Self)
    }
}

impl Peer for Refused {
    /// Kept where the provider answers; there is none where it refuses.
    type Lane = Option<Connection>;

    async fn lane(&self) -> Result<Self::Lane> {
        Ok(self.0.connect().await.ok())
    }

    async fn send(&self, lane: &mut Self::Lane, _number: u64) -> Result<()> {
        let Some(connection) = lane else {
            ensure!(self.0.connect().await.is_err(), "the provider did not refuse");
            return Ok(());
        };
        let (status, _) = self.0.exchange(connection).await?;
        ensure!(status >= StatusCode::INTERNAL_SERVER_ERROR, "the sink answered {status}");
        Ok(())
    }
}
