//! HTTP service over the messaging engine.
//!
//! A request's way: [`Server`] accepts the connection (`accept_loop`), `socket` watches how fast
//! it is read, `edge` gives it an id, counts and logs it, `auth` checks its key, `api` reads it
//! (`body`, `json`, `shape`) and hands it to [`ums_delivery::Messaging`]; what is wrong becomes a
//! `problem`.
//!
//! **Invariant:** no body, recipient, key or query string reaches a log, a metric or a problem.
//!
//! **Invariant:** a message is submitted by a task of its own: a client that goes away cancels
//! nothing.

mod accept_loop;
mod api;
mod auth;
mod body;
mod docs;
mod door;
mod edge;
mod framing;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod hooks;
mod idempotency;
mod json;
mod metrics;
mod openapi;
mod prefer;
mod problem;
mod proxies;
mod query;
mod server;
mod settings;
mod shape;
mod slowing;
mod socket;

pub use api::acts::Replayed;
pub use api::providers::{ProviderSwitched, ProviderTried};
pub use api::suppressions::{SuppressionAdded, SuppressionEntry, SuppressionList, SuppressionsAdded, SuppressionsLifted};
pub use api::webhooks::{WebhookDeliveries, WebhookDelivery, WebhookEndpoint, WebhookEndpoints, WebhooksReplayed};
pub use hooks::{HookName, Hooks};
pub use metrics::Metrics;
pub use openapi::document as openapi_document;
pub use problem::ErrorCode;
pub use proxies::TrustedProxies;
pub use server::{Error, Server};
pub use settings::{Limits, ServerSettings};
