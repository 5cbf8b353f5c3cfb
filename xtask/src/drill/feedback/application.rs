//! The user's application: takes notices, keeps their ids, and refuses one of ten at first.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// After so long without a post there are no more.
const QUIET: Duration = Duration::from_secs(6);

/// What came, by message or address, by kind: the ids of the notices.
pub(super) type Notices = BTreeMap<(String, String), BTreeSet<String>>;

#[derive(Debug)]
struct Kept {
    taken: Notices,
    refused: BTreeSet<String>,
    posts: u64,
    last: Instant,
}

#[derive(Debug, Clone)]
pub(super) struct Application {
    pub(super) url: String,
    kept: Arc<Mutex<Kept>>,
}

impl Application {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for the application")?;
        let application = Self {
            url: format!("http://{}/notices", listener.local_addr()?),
            kept: Arc::new(Mutex::new(Kept {
                taken: Notices::new(),
                refused: BTreeSet::new(),
                posts: 0,
                last: Instant::now(),
            })),
        };
        let server = application.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let application = server.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| application.clone().take(request));
                    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    if let Err(fault) = connection.await {
                        eprintln!("   the application's connection broke: {fault}");
                    }
                });
            }
        });
        Ok(application)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let id = request
            .headers()
            .get("webhook-id")
            .and_then(|id| id.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let body = request
            .into_body()
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let notice: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let data = &notice["data"];
        let is_about_address = text(&notice["type"]).starts_with("suppression.");
        let about = text(&data[if is_about_address { "recipient_id" } else { "message_id" }]);
        let mut response = Response::new(Full::default());
        let mut kept = self.kept();
        kept.posts += 1;
        kept.last = Instant::now();
        let is_refused = kept.posts.is_multiple_of(10) && kept.refused.insert(id.clone());
        if is_refused {
            *response.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
        } else {
            kept.taken.entry((about, text(&notice["type"]))).or_default().insert(id);
        }
        Ok(response)
    }

    /// Waits until nothing more comes.
    pub(super) async fn quiet(&self, most: Duration) -> Result<()> {
        let start = Instant::now();
        while self.kept().last.elapsed() < QUIET {
            if start.elapsed() > most {
                bail!("the application is still told of things");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// What came, and how many posts were refused.
    pub(super) fn notices(&self) -> (Notices, usize) {
        let kept = self.kept();
        (kept.taken.clone(), kept.refused.len())
    }
}
