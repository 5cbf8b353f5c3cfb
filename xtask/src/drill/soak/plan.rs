//! Faults that come and go: of each minute, half is calm, a third has faults, and the rest is given to recover.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::drill::chance::Chance;
use crate::drill::faults::{self, PROVIDERS};
use crate::drill::web::Web;

const CALM: Duration = Duration::from_secs(30);
const AT_FAULT: Duration = Duration::from_secs(20);
const RECOVERY: Duration = Duration::from_secs(10);

/// The plan at work, until it is dropped.
#[derive(Debug)]
pub(super) struct Plan {
    task: JoinHandle<()>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    is_calm: AtomicBool,
    switched: AtomicU64,
}

impl Plan {
    /// Begins with a calm.
    pub(super) async fn start(seed: u64, web: &Web, control: SocketAddr) -> Result<Self> {
        heal_all(web, control).await?;
        let (web, state) = (web.clone(), Arc::new(State::default()));
        let shared = Arc::clone(&state);
        let mut chance = Chance::of(seed, "plan");
        let task = tokio::spawn(async move {
            loop {
                shared.is_calm.store(true, Ordering::Release);
                tokio::time::sleep(CALM).await;
                shared.is_calm.store(false, Ordering::Release);
                let outcome = one_spell(&mut chance, &web, control, &shared.switched).await;
                if let Err(error) = outcome {
                    eprintln!("   {error:#}");
                }
                tokio::time::sleep(RECOVERY).await;
            }
        });
        Ok(Self { task, state })
    }

    /// Whether no provider is at fault, nor was in the last seconds.
    pub(super) fn is_calm(&self) -> bool {
        self.state.is_calm.load(Ordering::Acquire)
    }

    /// Stops and leaves the providers well; tells how many faults there were.
    pub(super) async fn stop(self, web: &Web, control: SocketAddr) -> Result<u64> {
        self.task.abort();
        heal_all(web, control).await?;
        Ok(self.state.switched.load(Ordering::Relaxed))
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Puts a fault on one provider of each channel, in one of ten cases on all, and takes them off.
async fn one_spell(chance: &mut Chance, web: &Web, control: SocketAddr, switched: &AtomicU64) -> Result<()> {
    let all_fail = chance.percent(10);
    let (email, sms) = (
        chance.pick(&["ses", "sendgrid", "smtp"]).copied(),
        chance.pick(&["sns", "twilio"]).copied(),
    );
    let struck = PROVIDERS
        .iter()
        .copied()
        .filter(|provider| all_fail || [email, sms].contains(&Some(*provider)));
    for provider in struck {
        faults::put(web, control, provider, &any_fault(chance)).await?;
        switched.fetch_add(1, Ordering::Relaxed);
    }
    tokio::time::sleep(AT_FAULT).await;
    heal_all(web, control).await
}

fn any_fault(chance: &mut Chance) -> Value {
    let kinds = [
        json!({"mode": "error", "status": 503}),
        json!({"mode": "throttle", "retry_after": 1}),
        json!({"mode": "hang"}),
        json!({"mode": "reset_after"}),
        json!({"mode": "slow", "delay_ms": chance.within(100..=1_500)}),
    ];
    let mut fault = chance.pick(&kinds).cloned().unwrap_or_default();
    fault["rate"] = json!(if chance.percent(50) { 1.0 } else { 0.5 });
    fault
}

/// A provider that is well still lets a few bounce, or never says what became of them.
async fn heal_all(web: &Web, control: SocketAddr) -> Result<()> {
    for provider in PROVIDERS {
        match *provider {
            "sendgrid" => faults::put(web, control, provider, &json!({"mode": "bounce", "rate": 0.01})).await?,
            "twilio" => faults::put(web, control, provider, &json!({"mode": "never_deliver", "rate": 0.02})).await?,
            _ => faults::heal(web, control, provider).await?,
        }
    }
    Ok(())
}
