//! Tells a bad provider from bad recipients: one that refuses everybody is the problem itself.
//!
//! A suspended account may answer every recipient with "no such user". Five different recipients on
//! three domains, refused within ten minutes and nobody accepted between, are no coincidence.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ums_core::{Accepted, Failure, FailureClass, Monotonic};

const RECIPIENTS: usize = 5;
const DOMAINS: usize = 3;
const WITHIN: Duration = Duration::from_mins(10);

/// The refusals of one provider account since it last took a message. Keeps hashes, no recipients.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    any: AtomicBool,
    seen: Mutex<Vec<Refused>>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    recipient: u64,
    domain: u64,
    at: Monotonic,
}

impl Rejections {
    /// Looks at the outcome of one call: a refusal that makes it too many becomes the provider's failure.
    pub(crate) fn judge(
        &self,
        result: Result<Accepted, Failure>,
        (recipient, domain): (&str, &str),
        now: Monotonic,
    ) -> Result<Accepted, Failure> {
        match result {
            Ok(accepted) => {
                if self.any.swap(false, Ordering::Relaxed) {
                    self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
                }
                Ok(accepted)
            }
            Err(failure) if failure.class == FailureClass::InvalidRecipient && self.is_one_too_many(recipient, domain, now) => {
                Err(systemic(&failure))
            }
            Err(failure) => Err(failure),
        }
    }

    fn is_one_too_many(&self, recipient: &str, domain: &str, now: Monotonic) -> bool {
        let refused = Refused {
            recipient: self.hasher.hash_one(recipient),
            domain: self.hasher.hash_one(domain),
            at: now,
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.any.store(true, Ordering::Relaxed);
        seen.retain(|earlier| now.since(earlier.at) < WITHIN && earlier.recipient != refused.recipient);
        seen.push(refused);
        // No more are needed to tell: the newest ones decide.
        let excess = seen.len().saturating_sub(RECIPIENTS * DOMAINS);
        seen.drain(..excess);
        let mut domains: Vec<u64> = seen.iter().map(|refused| refused.domain).collect();
        domains.sort_unstable();
        domains.dedup();
        seen.len() >= RECIPIENTS && domains.len() >= DOMAINS
    }
}

fn systemic(failure: &Failure) -> Failure {
    let detail = format!(
        "it refuses every recipient, the last one with {}: the account is probably suspended",
        failure.code
    );
    Failure::provider(FailureClass::Misconfigured, "systemic_rejection", &detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(seconds))
    }

    /// The class after each refusal of `(recipient, domain, second)`.
    fn classes(refusals: &[(&str, &str, u64)]) -> Vec<FailureClass> {
        let rejections = Rejections::default();
        let judged = refusals.iter().map(|(recipient, domain, second)| {
            let refused = Err(Failure::provider(FailureClass::InvalidRecipient, "550", ""));
            rejections.judge(refused, (recipient, domain), at(*second)).unwrap_err().class
        });
        judged.collect()
    }

    #[test]
    fn five_recipients_on_three_domains_are_the_providers_problem() {
        use FailureClass::{InvalidRecipient as R, Misconfigured as M};
        let spread = [
            ("a", "1", 0),
            ("b", "2", 1),
            ("c", "3", 2),
            ("d", "1", 3),
            ("e", "2", 4),
            ("f", "3", 5),
        ];
        assert_eq!(classes(&spread), [R, R, R, R, M, M]);
    }

    #[test]
    fn one_recipient_one_domain_or_a_long_time_are_not() {
        let same: Vec<_> = (0..10).map(|second| ("a", "1", second)).collect();
        let one_domain = ["a", "b", "c", "d", "e", "f"].map(|recipient| (recipient, "1", 0));
        let slowly = [("a", "1", 0), ("b", "2", 200), ("c", "3", 400), ("d", "1", 599), ("e", "2", 700)];
        for refusals in [&same[..], &one_domain, &slowly] {
            assert!(
                classes(refusals).iter().all(|class| *class == FailureClass::InvalidRecipient),
                "{refusals:?}"
            );
        }
    }

    #[test]
    fn an_acceptance_between_starts_anew() {
        let rejections = Rejections::default();
        let refuse = |recipient: &str| {
            let refused = Err(Failure::provider(FailureClass::InvalidRecipient, "550", ""));
            rejections.judge(refused, (recipient, recipient), at(0)).unwrap_err().class
        };
        for recipient in ["a", "b", "c", "d"] {
            refuse(recipient);
        }
        rejections.judge(Ok(Accepted::new("id")), ("x", "x"), at(0)).unwrap();
        assert_eq!(refuse("e"), FailureClass::InvalidRecipient);
    }
}
