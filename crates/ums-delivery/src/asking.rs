//! Asks providers whose breakers are open, without traffic, so that after a repair the next message goes by the first provider again.
//!
//! One task for all providers. A provider is asked when the wait of its breaker is over: the breaker says how long that is, and lengthens
//! it after a bad answer. On a shared store the probe lease lets one process ask. An answer that says nothing (denied, unreadable) leaves
//! the rest to one real message.
//!
//! A question to an SMTP server is a login, and servers refuse those who log in too often. So a question that was put off (throttled)
//! is asked again after a rest of its own, which doubles.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{BreakerStateWord, Monotonic};

use crate::breaker::{Asker, Breaker, Now};
use crate::chain::{Chain, Link};
use crate::desk::Desk;

/// Time between two looks at the breakers.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Shortest and longest rest of a provider whose answer taught its breaker nothing.
const REST: Duration = Duration::from_secs(30);
const LONGEST_REST: Duration = Duration::from_mins(15);

/// The rest of a provider between two questions.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    questions: u32,
    until: Monotonic,
}

/// Asks until the engine closes.
pub(crate) async fn run(desk: Arc<Desk>) {
    let mut email = vec![Rest::default(); desk.chains.email.links.len()];
    let mut sms = vec![Rest::default(); desk.chains.sms.links.len()];
    loop {
        desk.ports.shortages.look(desk.ports.clock.monotonic());
        if desk.may_send() {
            ask(&desk, &desk.chains.email, &mut email);
            ask(&desk, &desk.chains.sms, &mut sms);
        }
        tokio::select! {
            biased;
            () = desk.ports.closing.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Begins the questions of one chain that are due.
fn ask<M: 'static>(desk: &Desk, chain: &Chain<M>, rests: &mut [Rest]) {
    for (link, rest) in chain.links.iter().zip(rests) {
        let now = Now::read(&*desk.ports.clock);
        if !link.provider.can_be_asked() || link.share.off(now.wall).is_some() {
            continue;
        }
        rest.look(link, now);
        if rest.until <= now.mono
            && let Some(permit) = Breaker::admit_question(link.breaker.clone(), Asker::Background, now)
        {
            rest.asked(now.mono);
            desk.ports.tasks.spawn(link.clone().ask(permit));
        }
    }
}

impl Rest {
    /// A breaker that opened or closed since the last question has learned something: the next question is due when it says.
    fn look<M>(&mut self, link: &Link<M>, now: Now) {
        if self.questions > 0 && link.breaker.snapshot(now).state != BreakerStateWord::HalfOpen {
            *self = Self::default();
        }
    }

    fn asked(&mut self, now: Monotonic) {
        self.until = now + REST.saturating_mul(1 << self.questions.min(10)).min(LONGEST_REST);
        self.questions += 1;
    }
}
