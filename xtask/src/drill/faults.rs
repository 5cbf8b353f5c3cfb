//! Faults of the providers, switched at random while a drill runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::chance::Chance;
use super::web::{Answer, Ask, Web};

/// The sink's words for its providers.
pub(super) const PROVIDERS: &[&str] = &["ses", "sns", "sendgrid", "twilio", "smtp"];

/// Puts a fault on a provider.
pub(super) async fn put(web: &Web, control: SocketAddr, provider: &str, fault: &Value) -> Result<()> {
    let path = format!("/_sim/{provider}/fault");
    let answer = web.ask(control, &Ask::with_json("PUT", &path, fault)).await;
    let fine = answer.as_ref().is_ok_and(Answer::is_success);
    ensure!(fine, "the sink does not take the fault {fault} of {provider}: {answer:?}");
    Ok(())
}

/// Takes a provider's fault off.
pub(super) async fn heal(web: &Web, control: SocketAddr, provider: &str) -> Result<()> {
    let path = format!("/_sim/{provider}/fault");
    let mut ask = Ask::get(&path);
    ask.method = "DELETE";
    let answer = web.ask(control, &ask).await;
    ensure!(
        answer.as_ref().is_ok_and(Answer::is_success),
        "the sink does not heal {provider}: {answer:?}"
    );
    Ok(())
}

/// A hand that switches faults until it is dropped.
#[derive(Debug)]
pub(super) struct Hand {
    task: JoinHandle<()>,
    switched: Arc<AtomicU64>,
}

impl Hand {
    /// Begins to switch; about half of the providers are well at any time.
    pub(super) fn start(seed: u64, web: &Web, control: SocketAddr) -> Self {
        let (web, switched) = (web.clone(), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&switched);
        let mut chance = Chance::of(seed, "faults");
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(chance.millis(200..=1_500)).await;
                let Some(provider) = chance.pick(PROVIDERS) else { continue };
                let outcome = if chance.percent(45) {
                    heal(&web, control, provider).await
                } else {
                    put(&web, control, provider, &any_fault(&mut chance, provider)).await
                };
                match outcome {
                    Ok(()) => counter.fetch_add(1, Ordering::Relaxed),
                    Err(error) => {
                        eprintln!("   {error:#}");
                        0
                    }
                };
            }
        });
        Self { task, switched }
    }

    /// Stops and heals all; tells how often a fault was switched.
    pub(super) async fn stop(self, web: &Web, control: SocketAddr) -> Result<u64> {
        self.task.abort();
        for provider in PROVIDERS {
            heal(web, control, provider).await?;
        }
        Ok(self.switched.load(Ordering::Relaxed))
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn any_fault(chance: &mut Chance, provider: &str) -> Value {
    let slow = chance.within(50..=2_500);
    let rate = [0.2, 0.5, 1.0][usize::try_from(chance.below(3)).unwrap_or_default()];
    let mut kinds = vec![
        json!({"mode": "slow", "delay_ms": slow}),
        json!({"mode": "slow", "delay_ms": slow}),
        json!({"mode": "error", "status": 503}),
        json!({"mode": "error", "status": 500}),
        json!({"mode": "throttle", "retry_after": 1}),
        json!({"mode": "reset_after"}),
        json!({"mode": "reset_before"}),
        json!({"mode": "hang"}),
        json!({"mode": "hang_after"}),
        json!({"mode": "garbage"}),
        json!({"mode": "truncate"}),
        json!({"mode": "empty"}),
    ];
    if provider != "smtp" {
        kinds.push(json!({"mode": "accept_then_error"}));
        kinds.push(json!({"mode": "accept_then_error"}));
    }
    let mut fault = chance.pick(&kinds).cloned().unwrap_or_default();
    fault["rate"] = json!(rate);
    fault
}
