//! The only crate that speaks to providers.
//!
//! ```text
//! registry → send/{ses, sendgrid, smtp, sns, twilio, console} → http (or an SMTP connection)
//!                                   ↘ classify ← each adapter's FAILURES table
//! ```
//!
//! An adapter builds a request, posts it and reads the answer. It does not retry, keep a breaker or
//! log content; what follows from a failure is decided by its class, elsewhere.

mod aws;
mod bounded_read;
mod classify;
mod error;
pub mod failure_table;
pub mod feedback;
#[cfg(test)]
mod fixtures;
mod form;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod header_text;
mod http;
mod mime;
mod pages;
mod registry;
mod roots;
#[cfg(test)]
mod samples;
pub mod send;
mod sender;
mod verdict;
mod ways;
pub mod webhook;

pub use aws::AwsCredentials;
pub use classify::unknown_codes;
pub use error::Error;
pub use http::{BadProxy, Proxy, TimeLimits, Transport, TransportSettings, TrustedRoots};
pub use pages::page;
pub use registry::{Chains, ProviderSettings, classify};
