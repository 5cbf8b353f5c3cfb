//! Faults put on and taken off, with the ports that they close and open.

use std::sync::Arc;
use std::time::Duration;

use crate::asked::Asked;
use crate::port::Port;
use crate::world::World;
use crate::{Error, Fault, Mode, Provider};

#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) world: Arc<World>,
    ports: [Port; 5],
    pub(crate) asked: Asked,
    /// One change at a time: a fault and its port must not come apart.
    turn: tokio::sync::Mutex<()>,
}

impl Panel {
    pub(crate) fn new(world: Arc<World>, ports: [Port; 5], asked: Asked) -> Self {
        Self {
            world,
            ports,
            asked,
            turn: tokio::sync::Mutex::new(()),
        }
    }

    pub(crate) fn port(&self, provider: Provider) -> &Port {
        &self.ports[provider.index()]
    }

    /// Puts a fault on a provider in place of the one it has.
    ///
    /// Returns when it is in force: after `refuse` the port is closed.
    pub(crate) async fn set_fault(self: &Arc<Self>, provider: Provider, fault: Fault) -> Result<(), Error> {
        fault.check(provider)?;
        let turn = self.turn.lock().await;
        let is_open = fault.mode != Mode::Refuse;
        let lasts = fault.for_seconds;
        let generation = self.world.faults.put(provider, Some(fault));
        self.port(provider).set_open(is_open).await?;
        drop(turn);
        if let Some(seconds) = lasts {
            self.heal_after(provider, generation, Duration::from_secs_f64(seconds));
        }
        Ok(())
    }

    /// Takes the fault off; returns when the port is open again.
    pub(crate) async fn heal(&self, provider: Provider) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        self.restore(provider).await
    }

    async fn restore(&self, provider: Provider) -> Result<(), Error> {
        self.port(provider).set_open(true).await?;
        self.world.faults.put(provider, None);
        Ok(())
    }

    fn heal_after(self: &Arc<Self>, provider: Provider, generation: u64, wait: Duration) {
        let panel = Arc::clone(self);
        self.world.tasks.spawn(async move {
            tokio::select! {
                () = panel.world.stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            let _turn = panel.turn.lock().await;
            if panel.world.faults.generation(provider) == generation
                && let Err(fault) = panel.restore(provider).await
            {
                tracing::warn!(%provider, %fault, "could not heal");
            }
        });
    }
}
