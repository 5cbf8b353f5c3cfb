//! A service that takes feedback and keeps what it was posted.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// What was posted.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Post {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub(crate) url: String,
    posts: Arc<Mutex<Vec<Post>>>,
    status: Arc<AtomicU16>,
}

impl Hook {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let hook = Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            posts: Arc::default(),
            status: Arc::new(AtomicU16::new(204)),
        };
        let kept = hook.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let hook = kept.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| hook.clone().take(request));
                    let server = hyper::server::conn::http1::Builder::new();
                    server.serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        hook
    }

    async fn take(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let headers = head.headers.iter().map(|(name, value)| {
            let value = value.to_str().expect("text").to_owned();
            (name.as_str().to_owned(), value)
        });
        let post = Post {
            path: head.uri.to_string(),
            headers: headers.collect(),
            body: String::from_utf8(body.to_vec()).expect("text"),
        };
        self.posts.lock().expect("kept").push(post);
        let mut response = Response::new(Full::default());
        *response.status_mut() = self.status.load(Ordering::Relaxed).try_into().expect("a status");
        Ok(response)
    }

    /// Answers with this status from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.posts.lock().expect("kept").clone()
    }
}
