//! The routes, and what all of them share.

mod accept;
pub(crate) mod acts;
pub(crate) mod batch;
mod clock;
mod health;
mod hooks;
mod messages;
mod pages;
pub(crate) mod providers;
pub(crate) mod send;
pub(crate) mod suppressions;
mod unsubscribe;
pub(crate) mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use ums_core::{Clock, Random, Region, StoreError, TenantId};
use ums_delivery::Messaging;

use crate::auth::{self, ApiKey, Guard};
use crate::body;
use crate::docs::Docs;
use crate::edge::{self, Edge};
use crate::idempotency::{Fingerprints, KeysInHand};
use crate::metrics::Metrics;
use crate::openapi;
use crate::problem::{ErrorCode, Problem};
use crate::settings::{Limits, ServerSettings};
use crate::slowing::Refusals;

/// What the handlers work with.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) messaging: Messaging,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    pub(crate) guard: Arc<Guard>,
    pub(crate) fingerprints: Fingerprints,
    pub(crate) keys_in_hand: KeysInHand,
    pub(crate) hooks: hooks::HookDoor,
    pub(crate) default_region: Option<Region>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) closing: CancellationToken,
    pub(crate) readiness: health::Readiness,
    pub(crate) docs: Docs,
}

impl App {
    pub(crate) fn new(settings: ServerSettings, messaging: Messaging, metrics: Arc<Metrics>, closing: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            messaging,
            metrics,
            guard: Arc::new(Guard {
                key: ApiKey::new(settings.api_key.as_ref()),
                refusals: Refusals::default(),
                proxies: settings.trusted_proxies.clone(),
                closing: closing.clone(),
            }),
            fingerprints: Fingerprints::new(&settings),
            keys_in_hand: KeysInHand::default(),
            hooks: hooks::HookDoor::new(settings.hooks, &settings.limits),
            default_region: settings.default_region,
            closing,
            readiness: health::Readiness::default(),
            docs: Docs::new(&openapi::document(settings.version), settings.version, settings.api_key.is_some()),
            limits: settings.limits,
            clock: settings.clock,
            random: settings.random,
        })
    }

    /// Whose messages a caller sees: with one key there is one tenant.
    pub(crate) fn tenant() -> TenantId {
        TenantId::default()
    }

    /// Waits for the store, but not for ever.
    pub(crate) async fn in_time<T>(&self, asked: impl Future<Output = T>) -> Result<T, Problem> {
        tokio::time::timeout(self.limits.store_time, asked).await.map_err(|_| {
            tracing::warn!("the store does not answer");
            Problem::new(ErrorCode::StoreUnavailable, "the store does not answer at the moment; try again")
        })
    }

    /// Ends when the service is closing and half of its time for requests in hand is over: who
    /// still waits for an outcome then gets what is known.
    pub(crate) async fn wait_no_longer(&self) {
        self.closing.cancelled().await;
        tokio::time::sleep(self.limits.drain_time / 2).await;
    }
}

/// The routes of the probes' own listener.
pub(crate) fn probes(app: Arc<App>) -> Router {
    let open = Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready));
    finished(open.merge(metrics(&app)), app)
}

fn metrics(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/metrics", get(health::metrics))
        .route_layer(from_fn_with_state(Arc::clone(&app.guard), auth::require_key_or_loopback))
}

/// All routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    let keyed = Router::new()
        .route("/v1/emails", post(send::email))
        .route("/v1/sms", post(send::sms))
        .route("/v1/batches", post(batch::accept_batch))
        .route("/v1/messages", get(messages::list))
        .route("/v1/messages/replay", post(acts::replay))
        .route("/v1/messages/{id}", get(messages::one))
        .route("/v1/messages/{id}/explain", get(messages::explain))
        .route("/v1/messages/{id}/cancel", post(acts::cancel))
        .route("/v1/messages/{id}/resend", post(acts::resend))
        .route("/v1/messages/{id}/mark", post(acts::mark))
        .route(
            "/v1/suppressions",
            get(suppressions::list).post(suppressions::add).delete(suppressions::lift),
        )
        .route("/v1/webhooks", get(webhooks::list).post(webhooks::create))
        .route("/v1/webhooks/deliveries", get(webhooks::deliveries))
        .route("/v1/webhooks/replay", post(webhooks::replay))
        .route(
            "/v1/webhooks/{id}",
            get(webhooks::one).patch(webhooks::change).delete(webhooks::forget),
        )
        .route("/v1/webhooks/{id}/rotate", post(webhooks::rotate))
        .route("/v1/webhooks/{id}/test", post(webhooks::test))
        .route("/v1/providers/health", get(health::providers))
        .route("/v1/providers/{provider}/disable", post(providers::disable))
        .route("/v1/providers/{provider}/enable", post(providers::enable))
        .route("/v1/providers/{provider}/probe", post(providers::probe))
        .route("/v1/clock", get(clock::show))
        .route("/v1/clock/trust", post(clock::trust))
        .route_layer(from_fn_with_state(Arc::clone(&app.guard), auth::require_key));
    let open = Router::new()
        .route("/unsubscribe/style.css", get(unsubscribe::style))
        .route("/unsubscribe/{token}", get(unsubscribe::ask).post(unsubscribe::act))
        .route("/hooks/{hook}", post(hooks::of_provider))
        .route("/hooks/{hook}/{account}", post(hooks::of_account))
        .route("/", get(pages::landing))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(pages::openapi))
        .route("/docs", get(pages::docs))
        .route("/docs/style.css", get(pages::style))
        .route("/docs/errors", get(pages::errors))
        .route("/docs/errors/{code}", get(pages::error));
    finished(keyed.merge(metrics(&app)).merge(open), app)
}

/// Routes with what all of them share around them.
fn finished(routes: Router<Arc<App>>, app: Arc<App>) -> Router {
    let edge = Edge {
        metrics: Arc::clone(&app.metrics),
        random: Arc::clone(&app.random),
    };
    routes
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(refuse_odd_targets))
        .layer(from_fn_with_state(edge, edge::edge))
        .with_state(app)
}

/// Refuses request targets that are not a path (`CONNECT`, `OPTIONS *`): no route has one.
async fn refuse_odd_targets(request: Request, next: axum::middleware::Next) -> Response {
    if request.uri().path().starts_with('/') {
        next.run(request).await
    } else {
        no_such_path(request).await
    }
}

async fn no_such_path(request: Request) -> Response {
    body::discard(request).await;
    Problem::new(ErrorCode::NoSuchPath, "see /docs for what there is").into_response()
}

async fn method_not_allowed(request: Request) -> Response {
    body::discard(request).await;
    Problem::new(ErrorCode::MethodNotAllowed, "the header Allow names the methods of this path").into_response()
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response(),
        Err(_) => Problem::new(ErrorCode::Internal, "the answer could not be written").into_response(),
    }
}

/// A fault of the store while something is looked up.
pub(crate) fn store_problem(error: &StoreError) -> Problem {
    match error {
        StoreError::Unavailable(_) | StoreError::CommitUnknown(_) | StoreError::Gone(_) | StoreError::Unusable(_) => {
            tracing::warn!(%error, "the store could not be read");
            Problem::new(ErrorCode::StoreUnavailable, "the store cannot be used at the moment; try again")
        }
        StoreError::Fenced
        | StoreError::RefusedData(_)
        | StoreError::MustNotContact(_)
        | StoreError::NotFound
        | StoreError::IllegalMove { .. }
        | StoreError::Corrupt { .. } => {
            tracing::error!(%error, "the store could not be read");
            Problem::new(ErrorCode::Internal, "what is stored could not be read")
        }
    }
}
