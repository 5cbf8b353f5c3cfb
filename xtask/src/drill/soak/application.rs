//! An application that takes every notice, and keeps nothing but their number.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[derive(Debug)]
pub(super) struct Application {
    pub(super) url: String,
    notices: Arc<AtomicU64>,
}

impl Application {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for the application")?;
        let url = format!("http://{}/notices", listener.local_addr()?);
        let notices = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&notices);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counter = Arc::clone(&counter);
                tokio::spawn(async move {
                    let service = service_fn(move |request| take(request, Arc::clone(&counter)));
                    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    if let Err(fault) = connection.await {
                        eprintln!("   the application's connection broke: {fault}");
                    }
                });
            }
        });
        Ok(Self { url, notices })
    }

    pub(super) fn notices(&self) -> u64 {
        self.notices.load(Ordering::Relaxed)
    }
}

async fn take(request: Request<Incoming>, counter: Arc<AtomicU64>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.into_body().collect().await.is_ok() {
        counter.fetch_add(1, Ordering::Relaxed);
    }
    Ok(Response::new(Full::default()))
}
