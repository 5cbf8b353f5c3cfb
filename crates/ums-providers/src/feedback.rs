//! What providers report afterwards: signatures, payloads, and their words in ours.
//!
//! ```text
//! a request → aws (envelope → certificate → events) · sendgrid · twilio     as Hook
//! asked for → aws/sms_logs · twilio/list                                    as FeedbackSource
//! a bounce message → smtp                                                   handed in
//! ```
//!
//! **Invariant:** nothing in a payload is believed, fetched or logged before its signature was checked.

pub mod aws;
pub mod check;
mod reading;
pub mod sendgrid;
pub mod smtp;
pub mod twilio;
