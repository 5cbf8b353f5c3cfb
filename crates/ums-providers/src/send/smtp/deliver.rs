//! One call: a letter on a connection, and what is asked for in another way before the call fails.

use tokio::time::Instant;
use ums_core::{Failure, Refusal};

use super::Smtp;
use super::connection::Session;
use super::dialogue::{Again, Dialogue, Failed, Letter};
use super::offers::Offers;

/// A message made ready, for servers of both kinds.
pub(super) struct Letters<'a> {
    pub(super) as_it_is: Letter<'a>,
    /// For a server without 8BITMIME; none if the message is the same for it.
    pub(super) in_seven_bits: Option<Letter<'a>>,
}

impl<'a> Letters<'a> {
    fn for_server(&self, offers: &Offers) -> &Letter<'a> {
        let narrow = self.in_seven_bits.as_ref().filter(|_| !offers.eight_bit);
        narrow.unwrap_or(&self.as_it_is)
    }
}

impl Smtp {
    /// Hands a letter over, on an idle connection if there is one. What [`Again`] allows is tried once: nothing of the message was
    /// handed over.
    pub(super) async fn deliver(&self, letters: &Letters<'_>, until: Instant) -> Result<(Vec<Refusal>, bool), Failure> {
        let mut idle = self.pool.take();
        let mut dsn = true;
        loop {
            let mut session = match idle.take() {
                Some(session) => session,
                None => Session::open(&self.inner, until).await?,
            };
            let letter = letters.for_server(&session.offers);
            let outcome = Dialogue {
                session: &mut session,
                inner: &self.inner,
                letter,
                until,
                dsn,
            }
            .run()
            .await;
            match outcome {
                Ok(refused) => {
                    if !dsn {
                        self.inner.learned.note_dsn_refused();
                    }
                    let simulated = session.simulated;
                    self.pool.put(session);
                    return Ok((refused, simulated));
                }
                Err(Failed {
                    again: Some(Again::OnFreshConnection),
                    ..
                }) => {}
                Err(Failed {
                    again: Some(Again::WithoutDsn),
                    ..
                }) => {
                    dsn = false;
                    idle = session.is_usable().then_some(session);
                }
                Err(failed) => {
                    self.pool.put(session);
                    return Err(failed.into_failure(letter));
                }
            }
        }
    }
}
