//! The retry budget of a channel: retries during an outage must not multiply the load.
//!
//! A *retry round* is a walk along the chain of a message that had an attempt before. A token pays for each round. The budget of a minute
//! is a share of the first attempts, plus a floor. A round without a failed call returns its token; therefore the budget bounds failing
//! rounds, and not the drain after an outage.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ums_core::{Monotonic, Purpose, Random};

use crate::breaker::window::Window;
use crate::rules::RetryBudget;

/// Length of the window, in buckets of one second.
const SECONDS: usize = 60;
/// One token in this many of the floor is reserved for one-time codes.
const FOR_CODES: u64 = 4;
/// Longest wait of a message that finds the budget spent, and of a one-time code.
const LATER: Duration = Duration::from_secs(30);
const LATER_FOR_CODES: Duration = Duration::from_secs(5);
/// Shortest wait of a message that finds the budget spent.
const SOONEST: Duration = Duration::from_secs(1);

/// The budget of one channel.
#[derive(Debug)]
pub(crate) struct Budget {
    settings: RetryBudget,
    /// First attempts; without a lock, because every message counts here.
    firsts: Window,
    spent: Mutex<Spent>,
}

/// Retry rounds of the last minute.
#[derive(Debug)]
struct Spent {
    seconds: [u32; SECONDS],
    newest: u64,
    rounds: u64,
}

/// Pays for one retry round. The budget gets a token back that is dropped without [`Token::spend`].
#[derive(Debug)]
pub(crate) struct Token {
    budget: Arc<Budget>,
    second: u64,
    spent: bool,
}

impl Budget {
    pub(crate) fn new(settings: RetryBudget) -> Self {
        Self {
            settings,
            firsts: Window::new(Duration::from_mins(1)),
            spent: Mutex::default(),
        }
    }

    /// Counts a message's first attempt.
    pub(crate) fn first(&self, now: Monotonic) {
        self.firsts.success(now);
    }

    /// Acquires the token of one retry round; none when the budget is spent.
    pub(crate) fn acquire(self: &Arc<Self>, purpose: Purpose, now: Monotonic) -> Option<Token> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.advance(now);
        let floor = u64::from(self.settings.floor_per_minute);
        let floor = if purpose == Purpose::Otp {
            floor
        } else {
            floor - floor / FOR_CODES
        };
        let share = self.firsts.totals(now).calls.saturating_mul(u64::from(self.settings.percent)) / 100;
        if spent.rounds >= share.saturating_add(floor) {
            return None;
        }
        spent.rounds += 1;
        let newest = spent.newest;
        if let Some(second) = spent.second(newest) {
            *second += 1;
        }
        Some(Token {
            budget: self.clone(),
            second: newest,
            spent: false,
        })
    }

    /// The wait of a message that found the budget spent. Random, so that such messages do not come back together.
    pub(crate) fn later(purpose: Purpose, random: &dyn Random) -> Duration {
        let longest = if purpose == Purpose::Otp { LATER_FOR_CODES } else { LATER };
        SOONEST + longest.saturating_sub(SOONEST).mul_f64(random.unit())
    }
}

impl Token {
    /// Spends the token: a call of the round failed.
    pub(crate) fn spend(mut self) {
        self.spent = true;
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if self.spent {
            return;
        }
        let mut spent = self.budget.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = spent.newest >= self.second + SECONDS as u64;
        if !forgotten && let Some(second) = spent.second(self.second) {
            *second = second.saturating_sub(1);
            spent.rounds = spent.rounds.saturating_sub(1);
        }
    }
}

impl Default for Spent {
    fn default() -> Self {
        Self {
            seconds: [0; SECONDS],
            newest: 0,
            rounds: 0,
        }
    }
}

impl Spent {
    fn second(&mut self, number: u64) -> Option<&mut u32> {
        let index = usize::try_from(number % SECONDS as u64).unwrap_or(0);
        self.seconds.get_mut(index)
    }

    /// Empties the seconds that lie more than a minute back.
    fn advance(&mut self, now: Monotonic) {
        let current = now.since_start().as_secs();
        let passed = current.saturating_sub(self.newest).min(SECONDS as u64);
        for step in 1..=passed {
            let number = self.newest + step;
            let Some(old) = self.second(number).map(std::mem::take) else {
                continue;
            };
            self.rounds = self.rounds.saturating_sub(u64::from(old));
        }
        self.newest = self.newest.max(current);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ums_testkit::SeededRandom;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(seconds))
    }

    fn budget(percent: u32, floor_per_minute: u32) -> Arc<Budget> {
        Arc::new(Budget::new(RetryBudget { percent, floor_per_minute }))
    }

    /// Spends as many tokens as there are.
    fn spend_all(budget: &Arc<Budget>, purpose: Purpose, seconds: u64) -> usize {
        let mut spent = 0;
        while let Some(token) = budget.acquire(purpose, at(seconds)) {
            token.spend();
            spent += 1;
        }
        spent
    }

    #[test]
    fn a_share_of_first_attempts_and_a_floor_may_be_spent_in_a_minute() {
        let budget = budget(20, 8);
        for _ in 0..100 {
            budget.first(at(0));
        }
        assert_eq!(
            spend_all(&budget, Purpose::Transactional, 0),
            26,
            "a fifth, and three quarters of the floor"
        );
        assert_eq!(spend_all(&budget, Purpose::Otp, 0), 2, "the rest of the floor is for codes");
        assert_eq!(spend_all(&budget, Purpose::Otp, 59), 0);
        assert_eq!(
            spend_all(&budget, Purpose::Otp, 65),
            8,
            "first attempts are forgotten after a minute, too"
        );
        assert_eq!(spend_all(&budget, Purpose::Otp, 1_000_000), 8);
    }

    #[test]
    fn a_round_without_failure_gives_its_token_back() {
        let budget = budget(0, 1);
        for second in 0..100 {
            drop(budget.acquire(Purpose::Otp, at(second)).expect("given back each time"));
        }
        let late = budget.acquire(Purpose::Otp, at(100)).unwrap();
        let next = budget.acquire(Purpose::Otp, at(161)).expect("a minute later there is another one");
        drop(late);
        assert!(
            budget.acquire(Purpose::Otp, at(161)).is_none(),
            "a token of another minute is not given back to this one"
        );
        next.spend();
    }

    #[test]
    fn who_finds_it_spent_comes_back_spread() {
        let random = SeededRandom::new(3);
        let mut waits: Vec<_> = (0..20).map(|_| Budget::later(Purpose::Bulk, &random)).collect();
        assert!(waits.iter().all(|wait| *wait >= SOONEST && *wait <= LATER));
        waits.sort();
        waits.dedup();
        assert_eq!(waits.len(), 20);
        assert!((0..20).all(|_| Budget::later(Purpose::Otp, &random) <= LATER_FOR_CODES));
    }
}
