//! SES, SNS, SendGrid, Twilio and SMTP on the wire, with faults.
//!
//! Stands where the providers stand: the engine, the official SDKs and the tests
//! talk to it over real sockets and cannot tell it from the real ones by their
//! wire formats, only by its mark (`x-ums-simulator: 1`, the SMTP banner).
//!
//! ```text
//! listen → connection → http → ses | sns | sendgrid | twilio → recorder
//!        ↘ smtp ────────────────────────────────────────────↗
//!                                                      recorder → journal (a file, if one is named)
//!                                                      recorder → feedback → the service, if it was named
//! control → panel → fault board (asked once per request) and the ports
//! ```
//!
//! What it accepts goes to its recorder and no further. It must never reach anybody: all that it sends
//! are the reports that the providers would send ([`FeedbackSettings`]), to the one place it was told.

mod address;
mod asked;
mod aws;
mod call;
mod clock;
mod connection;
mod control;
mod error;
mod fault;
mod fault_board;
mod feedback;
mod form;
mod http;
mod ids;
mod journal;
mod link;
mod listen;
mod message;
mod mime;
mod mode;
mod panel;
mod port;
mod provider;
mod recorder;
mod reply;
mod segments;
mod sendgrid;
mod ses;
mod simulator;
mod smtp;
mod sns;
mod stats;
mod twilio;
mod world;

pub use error::Error;
pub use fault::Fault;
pub use feedback::{FeedbackSettings, FeedbackStats};
pub use message::{Attachment, SimMessage};
pub use mode::Mode;
pub use provider::Provider;
pub use simulator::{Simulator, SimulatorConfig};
pub use stats::Stats;
