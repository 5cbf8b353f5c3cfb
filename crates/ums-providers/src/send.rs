//! The adapters: one file per provider.

mod console;
pub(crate) mod sendgrid;
pub(crate) mod ses;
mod ses_identity;
pub mod smtp;
pub(crate) mod sns;
pub(crate) mod twilio;

pub use console::{Console, ConsoleSettings};
pub use sendgrid::{SendGrid, SendGridSettings};
pub use ses::{Ses, SesSettings};
pub use ses_identity::{IdentityStatus, IdentityVerification};
pub use sns::{Sns, SnsSettings};
pub use twilio::{Twilio, TwilioSender, TwilioSettings};
