//! Messages whose story tells of providers that were passed over, one for each word.

use std::time::Duration;

use ums_core::{AccountId, Clock as _, Failure, FailureClass as F, OnExhausted, Probe, ProviderKind as P, RateRow, Timestamp};
use ums_delivery::BreakerSettings;
use ums_testkit::{Reply, TestClock};

use crate::process::{Process, Setup, Stage, fails, mail, submission, text};

/// Length of what counts are kept by.
const FIVE_MINUTES: i64 = 5 * 60 * 1_000_000;

pub(crate) fn write(stage: &mut Stage) {
    by_pace(stage);
    let process = stage.process(&with_breakers([P::AwsSes, P::SendGrid, P::Smtp]));
    trip(&process, "failover");
    process.send(mail("skipped_open"));
    process.sms_answers(&[fails(F::Misconfigured)]);
    process.send(text("failover_misconfigured", 11));
    process.send(text("skipped_misconfigured", 12));
    process.sms[1].answer_once(fails(F::Misconfigured));
    process.send(text("failed_misconfigured", 13).on_exhausted_fail());
    process.ends();

    let process = stage.process(&with_breakers([P::SendGrid, P::Smtp, P::AwsSes]));
    process.email_answers(&[fails(F::QuotaExhausted)]);
    process.send(mail("failover_quota"));
    process.send(mail("skipped_quota"));
    let pause = Failure::provider(F::Throttled, "429", "as the script says").with_retry_after(Some(Duration::from_mins(1)));
    process.email[1].answer_once(Reply::Fail(pause));
    process.send(mail("failover_throttled"));
    process.send(mail("skipped_throttled"));
    process.ends();

    let process = stage.process(&with_breakers([P::AwsSes, P::Smtp, P::SendGrid]));
    trip(&process, "failover_again");
    process.clock.advance(Duration::from_mins(1));
    process.email[0].can_be_asked(true);
    process.email[0].answer_probe(Probe::NoAnswer);
    process.send(mail("skipped_probing"));
    process.ends();

    by_receipts(stage);
}

fn with_breakers(email: [P; 3]) -> Setup {
    Setup {
        email,
        breaker: BreakerSettings {
            failures: 2,
            ..BreakerSettings::default()
        },
        ..Setup::default()
    }
}

/// The first provider fails until its breaker opens.
fn trip(process: &Process, case: &str) {
    for number in 1..=2 {
        process.email_answers(&[fails(F::Unavailable)]);
        process.send(mail(&format!("{case}_{number}")));
    }
}

fn by_pace(stage: &mut Stage) {
    let process = stage.process(&Setup {
        email: [P::Smtp, P::AwsSes, P::SendGrid],
        pace: (1, 0),
        ..Setup::default()
    });
    process.send(mail("as_fast_as_is_allowed"));
    process.run(process.engine.send(submission(mail("skipped_paced")))).unwrap();
    process.ends();
    let process = stage.process(&Setup {
        email: [P::SendGrid, P::AwsSes, P::Smtp],
        pace: (0, 1),
        ..Setup::default()
    });
    // What was sent before counts where the store's own count of the day does.
    process.send(mail("as_many_as_are_allowed"));
    process.send(mail("skipped_day_limit"));
    process.ends();
}

/// SES takes messages, and no receipts come.
fn by_receipts(stage: &mut Stage) {
    let process = stage.process(&Setup::default());
    let shared = AccountId::default();
    let rows = [(25, 100, 0), (120, 100, 100)].map(|(minutes, accepted, receipts)| {
        let at = process.clock.now() + Duration::from_hours(1) - Duration::from_mins(minutes);
        counts(P::AwsSes, &shared, at, [accepted, receipts, 0, 0])
    });
    process.run(process.store.add_rates(rows.into())).unwrap();
    process.ends();
    let process = stage.process(&Setup::default());
    // The counts are judged soon after the start.
    process.runs_on(Duration::from_secs(1));
    process.send(mail("skipped_degraded"));
    process.ends();
}

/// Counts of five minutes: accepted, receipts, hard bounces, complaints.
fn counts(provider: P, account: &AccountId, at: Timestamp, [accepted, receipts, hard_bounces, complaints]: [u64; 4]) -> RateRow {
    RateRow {
        provider,
        account: account.clone(),
        sender: "default".to_owned(),
        bucket: Timestamp::from_micros(at.as_micros() / FIVE_MINUTES * FIVE_MINUTES),
        accepted,
        receipts,
        hard_bounces,
        complaints,
    }
}

/// Counts of senders whose mail to many is held from now on.
pub(crate) fn bad_senders(clock: &TestClock, provider: P) -> Vec<RateRow> {
    let row = |sender: &str, numbers| RateRow {
        sender: sender.to_owned(),
        ..counts(provider, &AccountId::default(), clock.now() - Duration::from_mins(30), numbers)
    };
    vec![
        row("bounces.example.com", [1_000, 1_000, 200, 0]),
        row("complaints.example.com", [1_000, 1_000, 0, 50]),
    ]
}

/// A text message that is not held.
trait OrFail {
    fn on_exhausted_fail(self) -> Self;
}

impl OrFail for ums_core::SendSms {
    fn on_exhausted_fail(mut self) -> Self {
        self.handling.on_exhausted = Some(OnExhausted::Fail);
        self
    }
}
