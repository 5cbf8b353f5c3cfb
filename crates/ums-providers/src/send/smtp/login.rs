//! AUTH (RFC 4954): one mechanism that the server offers and we can do, and the next one if the server does not take it.

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::commands::Auth;
use tokio::time::Instant;
use ums_core::{Failure, FailureClass};

use super::Inner;
use super::connection::Session;
use super::fault::Fault;
use super::reply::Stage;
use super::stream::Ending;

/// The mechanisms that we can do, the better one first. Both show the password to whoever reads along, so that TLS is not left out
/// unless somebody said so ([`super::SmtpTls::None`]).
const MECHANISMS: [(&str, Mechanism); 2] = [("PLAIN", Mechanism::Plain), ("LOGIN", Mechanism::Login)];

impl Session {
    /// Logs in, if there is a user. Credentials that the server refuses are not tried by another mechanism.
    pub(super) async fn log_in(&mut self, inner: &Inner, until: Instant) -> Result<(), Failure> {
        let Some(credentials) = &inner.credentials else { return Ok(()) };
        let mut ours = MECHANISMS;
        if inner.learned.prefers_login() {
            ours.reverse();
        }
        let mut refused = None;
        for (name, mechanism) in ours {
            if !self.offers.mechanisms.iter().any(|offered| offered == name) {
                continue;
            }
            match self.authenticate(inner, mechanism, credentials, until).await {
                Ok(()) => return Ok(()),
                Err(fault) if fault.refuses_mechanism() => {
                    // Noted at once: a server may hang up after it, and the next connection begins with the other one.
                    inner.learned.note_login_preferred(mechanism == Mechanism::Plain);
                    refused = Some(fault);
                }
                Err(fault) => return Err(fault.into_failure()),
            }
        }
        Err(nothing_fits(&self.offers.mechanisms, refused))
    }

    async fn authenticate(&mut self, inner: &Inner, mechanism: Mechanism, credentials: &Credentials, until: Instant) -> Result<(), Fault> {
        let unreadable = |_| Fault::Lost(Stage::Auth, Ending::Unreadable);
        let first = Auth::new(mechanism, credentials.clone(), None).map_err(unreadable)?;
        let mut reply = self.command(inner, Stage::Auth, until, first).await?;
        // LOGIN asks twice; PLAIN not at all.
        for _ in 0..2 {
            if !reply.has_code(334) {
                break;
            }
            let answer = Auth::new_from_response(mechanism, credentials.clone(), &reply).map_err(unreadable)?;
            reply = self.command(inner, Stage::Auth, until, answer).await?;
        }
        if reply.has_code(235) {
            Ok(())
        } else {
            Err(Fault::Lost(Stage::Auth, Ending::Unreadable))
        }
    }
}

/// The failure when no mechanism is left, with what was offered.
fn nothing_fits(offered: &[String], refused: Option<Fault>) -> Failure {
    let offered = if offered.is_empty() {
        "the server offers no login here".to_owned()
    } else {
        format!("the server offers login by {}", offered.join(", "))
    };
    let Some(refused) = refused else {
        let detail = format!("{offered}; PLAIN or LOGIN is needed");
        return Failure::provider(FailureClass::Misconfigured, "auth_not_offered", &detail);
    };
    let failure = refused.into_failure();
    let detail = format!("{offered}, and takes neither PLAIN nor LOGIN from this account: {}", failure.detail);
    Failure::provider(FailureClass::Misconfigured, failure.code, &detail)
}
