//! Somebody who reads: lists, messages and their stories, while others post.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::web::{Ask, Web};

const PAUSE: Duration = Duration::from_millis(100);
const LISTS: &[&str] = &[
    "/v1/messages?limit=20",
    "/v1/messages?limit=20&channel=sms",
    "/v1/messages?limit=20&status=delivered",
    "/v1/suppressions?limit=20",
    "/v1/providers/health",
    "/metrics",
];

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) answered: u64,
    pub(super) failed: Vec<String>,
}

impl Read {
    /// Reads a list, and then a message of it and its story, again and again until the time is over.
    pub(super) async fn on(at: SocketAddr, time: Duration) -> Self {
        let (mut read, web) = (Self::default(), Web::new());
        let reading = async {
            for list in LISTS.iter().cycle() {
                let answer = read.ask(&web, at, list).await;
                if let Some(id) = answer.pointer("/data/0/message_id").and_then(serde_json::Value::as_str) {
                    read.ask(&web, at, &format!("/v1/messages/{id}")).await;
                    read.ask(&web, at, &format!("/v1/messages/{id}/explain")).await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        // It ends by the time alone.
        drop(tokio::time::timeout(time, reading).await);
        read
    }

    async fn ask(&mut self, web: &Web, at: SocketAddr, path: &str) -> serde_json::Value {
        match web.ask(at, &Ask::get(path)).await {
            Ok(answer) if answer.status == 200 => {
                self.answered += 1;
                return answer.json();
            }
            Ok(answer) => self.failed.push(format!("{path}: {}", answer.status)),
            Err(lost) => self.failed.push(format!("{path}: {lost:?}")),
        }
        serde_json::Value::Null
    }
}
