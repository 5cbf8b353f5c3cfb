//! The clock: an operator looks at it, or says that it is right.

use ums_core::ClockView;

use super::Messaging;
use super::providers::{MAX_BY_BYTES, SwitchError, text};

impl Messaging {
    /// The clocks of this process, and which of them it goes by.
    pub fn clock(&self) -> ClockView {
        let clock = &self.engine.desk.ports.clock;
        clock.guard().map_or_else(
            || ClockView {
                service: clock.now(),
                machine: clock.now(),
                database: None,
                is_trusted: true,
                is_settled: clock.is_settled(),
                trusted_from: None,
                trouble: None,
            },
            |guard| guard.view(),
        )
    }

    /// Goes by the machine's clock from now on, however far it jumped, and tells the other processes on the store whose clocks say the same.
    ///
    /// # Errors
    /// [`SwitchError::Invalid`] for the operator's name; nothing was changed then. [`SwitchError::Store`]: this process goes by the machine's
    /// clock, and no other one knows.
    pub async fn trust_clock(&self, by: &str) -> Result<ClockView, SwitchError> {
        let by = text("by", by, MAX_BY_BYTES)?;
        let desk = &self.engine.desk;
        let before = self.clock();
        if let Some(guard) = desk.ports.clock.guard() {
            let time = guard.trust();
            tracing::warn!(event = "clock.trusted", by, before = %before.service, now = %time.trusted, "an operator has the clock trusted");
            desk.ports.store.keep_time(&time).await?;
        }
        desk.queue.wake();
        Ok(self.clock())
    }
}
