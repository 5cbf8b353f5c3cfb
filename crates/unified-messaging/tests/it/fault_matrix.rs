//! Every provider under every fault of the simulator: what it is called, what happens to the
//! message, what the breaker makes of it, and what the provider has recorded.
//!
//! The rows are written by hand from the tables of the design and of the providers' documents.
//! Columns: fault and its setting · class and code of the attempt · its outcome · whether the next
//! provider is asked (duplicates allowed, never) · the breaker · the message's end (duplicates
//! allowed, never, and with nobody to take over) · messages that the provider recorded.

use std::time::Duration;

use ums_simulator::{Fault, Mode, Provider};
use unified_messaging::{BreakerStateWord, Duplicates, FailureClass, HealthStatus, OutcomeWord, SendResult, Status};

use crate::setup::{Bed, Setup, kind};

const SES: &str = "
error 400          | invalid_message BadRequestException            | failed   | none   none   | untouched          | failed failed  failed  | 0
error 401          | misconfigured NotAuthorized                    | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
error 403          | misconfigured AccessDeniedException            | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
error 404          | misconfigured NotFoundException                | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
error 408          | unavailable RequestTimeoutException            | failed   | backup backup | counted            | sent   sent    failed  | 0
error 413          | unsupported RequestEntityTooLargeException     | failed   | backup backup | untouched          | sent   sent    failed  | 0
error 429          | throttled TooManyRequestsException             | failed   | backup backup | paused 1           | sent   sent    failed  | 0
error 500          | unknown InternalFailure                        | unknown  | backup none   | counted            | sent   unknown unknown | 0
error 502          | unknown InternalFailure                        | unknown  | backup none   | counted            | sent   unknown unknown | 0
error 503          | unavailable ServiceUnavailable                 | failed   | backup backup | counted            | sent   sent    failed  | 0
error 504          | unknown InternalFailure                        | unknown  | backup none   | counted            | sent   unknown unknown | 0
refuse             | unavailable refused                            | failed   | backup backup | counted            | sent   sent    failed  | 0
hang               | unknown reply_timeout                          | unknown  | backup none   | counted            | sent   unknown unknown | 0
reset_before       | unknown connection_lost                        | unknown  | backup none   | counted            | sent   unknown unknown | 0
throttle           | throttled TooManyRequestsException             | failed   | backup backup | paused 1           | sent   sent    failed  | 0
throttle after 7   | throttled TooManyRequestsException             | failed   | backup backup | paused 7           | sent   sent    failed  | 0
throttle after 9999| throttled TooManyRequestsException             | failed   | backup backup | paused 900         | sent   sent    failed  | 0
unauthorized       | misconfigured UnrecognizedClientException      | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
suspended          | misconfigured AccountSuspendedException        | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
quota              | quota_exhausted ThrottlingException            | failed   | backup backup | exhausted 3600     | sent   sent    failed  | 0
quota after 600    | quota_exhausted ThrottlingException            | failed   | backup backup | exhausted 600      | sent   sent    failed  | 0
reject             | invalid_message BadRequestException            | failed   | none   none   | untouched          | failed failed  failed  | 0
slow 50            | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
slow 60000         | unknown reply_timeout                          | unknown  | backup none   | counted            | sent   unknown unknown | 1
hang_after         | unknown reply_timeout                          | unknown  | backup none   | counted            | sent   unknown unknown | 1
reset_after        | unknown connection_lost                        | unknown  | backup none   | counted            | sent   unknown unknown | 1
garbage            | unknown 200                                    | unknown  | backup none   | counted            | sent   unknown unknown | 1
truncate           | unknown connection_lost                        | unknown  | backup none   | counted            | sent   unknown unknown | 1
empty              | unknown 200                                    | unknown  | backup none   | counted            | sent   unknown unknown | 1
huge               | unknown reply_too_long                         | unknown  | backup none   | counted            | sent   unknown unknown | 1
accept_then_error  | unknown InternalFailure                        | unknown  | backup none   | counted            | sent   unknown unknown | 1
bounce             | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
never_deliver      | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
";

const SENDGRID: &str = "
error 400          | unsupported 400                                | failed   | backup backup | untouched          | sent   sent    failed  | 0
error 401          | misconfigured 401                              | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
error 403          | misconfigured 403                              | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
error 404          | misconfigured 404                              | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
error 413          | unsupported 413                                | failed   | backup backup | untouched          | sent   sent    failed  | 0
error 451          | misconfigured 451                              | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
error 500          | unknown 500                                    | unknown  | backup none   | counted            | sent   unknown unknown | 0
error 502          | unknown 502                                    | unknown  | backup none   | counted            | sent   unknown unknown | 0
error 503          | unavailable 503                                | failed   | backup backup | counted            | sent   sent    failed  | 0
error 504          | unknown 504                                    | unknown  | backup none   | counted            | sent   unknown unknown | 0
refuse             | unavailable refused                            | failed   | backup backup | counted            | sent   sent    failed  | 0
hang               | unknown reply_timeout                          | unknown  | backup none   | counted            | sent   unknown unknown | 0
reset_before       | unknown connection_lost                        | unknown  | backup none   | counted            | sent   unknown unknown | 0
throttle           | throttled 429                                  | failed   | backup backup | paused 60          | sent   sent    failed  | 0
throttle after 7   | throttled 429                                  | failed   | backup backup | paused 7           | sent   sent    failed  | 0
unauthorized       | misconfigured 401                              | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
suspended          | misconfigured 403                              | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
quota              | quota_exhausted 401                            | failed   | backup backup | exhausted 3600     | sent   sent    failed  | 0
reject             | invalid_recipient 400                          | failed   | none   none   | untouched          | failed failed  failed  | 0
slow 50            | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
slow 60000         | unknown reply_timeout                          | unknown  | backup none   | counted            | sent   unknown unknown | 1
hang_after         | unknown reply_timeout                          | unknown  | backup none   | counted            | sent   unknown unknown | 1
reset_after        | unknown connection_lost                        | unknown  | backup none   | counted            | sent   unknown unknown | 1
garbage            | unknown 202                                    | unknown  | backup none   | counted            | sent   unknown unknown | 1
truncate           | unknown connection_lost                        | unknown  | backup none   | counted            | sent   unknown unknown | 1
empty              | unknown 202                                    | unknown  | backup none   | counted            | sent   unknown unknown | 1
huge               | unknown reply_too_long                         | unknown  | backup none   | counted            | sent   unknown unknown | 1
accept_then_error  | unknown 500                                    | unknown  | backup none   | counted            | sent   unknown unknown | 1
bounce             | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
never_deliver      | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
unsubscribed       | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
";

/// Nothing is maybe sent before the final dot, so that far fewer faults are unknown; a bare `250`
/// after it is an acceptance (RFC 5321 §4.2).
const SMTP: &str = "
error              | unavailable 451 4.3.0                          | failed   | backup backup | counted            | sent   sent    failed  | 0
refuse             | unavailable connect_refused                    | failed   | backup backup | counted            | sent   sent    failed  | 0
hang               | unavailable timeout                            | failed   | backup backup | counted            | sent   sent    failed  | 0
reset_before       | unavailable connection_lost                    | failed   | backup backup | counted            | sent   sent    failed  | 0
throttle           | throttled 454 4.7.0                            | failed   | backup backup | paused 1           | sent   sent    failed  | 0
unauthorized       | misconfigured 535 5.7.8                        | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
suspended          | misconfigured 550 5.7.0                        | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
quota              | quota_exhausted 550 5.4.5                      | failed   | backup backup | exhausted 3600     | sent   sent    failed  | 0
reject             | invalid_recipient 550 5.1.1                    | failed   | none   none   | untouched          | failed failed  failed  | 0
defer              | unavailable 451 4.7.1                          | failed   | backup backup | counted            | sent   sent    failed  | 0
too_many           | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
slow 50            | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
slow 60000         | unknown timeout                                | unknown  | backup none   | counted            | sent   unknown unknown | 1
hang_after         | unknown timeout                                | unknown  | backup none   | counted            | sent   unknown unknown | 1
reset_after        | unknown connection_lost                        | unknown  | backup none   | counted            | sent   unknown unknown | 1
garbage            | unknown unreadable_reply                       | unknown  | backup none   | counted            | sent   unknown unknown | 1
truncate           | unknown connection_lost                        | unknown  | backup none   | counted            | sent   unknown unknown | 1
empty              | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
huge               | unknown unreadable_reply                       | unknown  | backup none   | counted            | sent   unknown unknown | 1
bounce             | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
never_deliver      | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
";

const SNS: &str = "
error 400          | invalid_message InvalidParameter               | failed   | none   none   | untouched          | failed failed  failed  | 0
error 403          | misconfigured AuthorizationError               | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
error 404          | misconfigured NotFound                         | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
error 429          | throttled Throttling                           | failed   | backup backup | paused 1           | sent   sent    failed  | 0
error 500          | unknown InternalError                          | unknown  | backup none   | counted            | sent   unknown unknown | 0
error 502          | unknown InternalError                          | unknown  | backup none   | counted            | sent   unknown unknown | 0
error 503          | unavailable ServiceUnavailable                 | failed   | backup backup | counted            | sent   sent    failed  | 0
refuse             | unavailable refused                            | failed   | backup backup | counted            | sent   sent    failed  | 0
hang               | unknown reply_timeout                          | unknown  | backup none   | counted            | sent   unknown unknown | 0
reset_before       | unknown connection_lost                        | unknown  | backup none   | counted            | sent   unknown unknown | 0
throttle           | throttled Throttling                           | failed   | backup backup | paused 1           | sent   sent    failed  | 0
throttle after 7   | throttled Throttling                           | failed   | backup backup | paused 7           | sent   sent    failed  | 0
unauthorized       | misconfigured InvalidClientTokenId             | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
suspended          | misconfigured OptInRequired                    | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
quota              | quota_exhausted Throttled                      | failed   | backup backup | exhausted 3600     | sent   sent    failed  | 0
reject             | invalid_recipient InvalidParameter             | failed   | none   none   | untouched          | failed failed  failed  | 0
slow 50            | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
slow 60000         | unknown reply_timeout                          | unknown  | backup none   | counted            | sent   unknown unknown | 1
hang_after         | unknown reply_timeout                          | unknown  | backup none   | counted            | sent   unknown unknown | 1
reset_after        | unknown connection_lost                        | unknown  | backup none   | counted            | sent   unknown unknown | 1
garbage            | unknown 200                                    | unknown  | backup none   | counted            | sent   unknown unknown | 1
truncate           | unknown connection_lost                        | unknown  | backup none   | counted            | sent   unknown unknown | 1
empty              | unknown 200                                    | unknown  | backup none   | counted            | sent   unknown unknown | 1
huge               | unknown reply_too_long                         | unknown  | backup none   | counted            | sent   unknown unknown | 1
accept_then_error  | unknown InternalError                          | unknown  | backup none   | counted            | sent   unknown unknown | 1
bounce             | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
never_deliver      | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
";

const TWILIO: &str = "
error 400          | unsupported 20001                              | failed   | backup backup | untouched          | sent   sent    failed  | 0
error 401          | misconfigured 20003                            | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
error 404          | misconfigured 20404                            | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
error 429          | throttled 20429                                | failed   | backup backup | paused 1           | sent   sent    failed  | 0
error 500          | unknown 20500                                  | unknown  | backup none   | counted            | sent   unknown unknown | 0
error 503          | unavailable 20503                              | failed   | backup backup | counted            | sent   sent    failed  | 0
error 504          | unknown 20504                                  | unknown  | backup none   | counted            | sent   unknown unknown | 0
refuse             | unavailable refused                            | failed   | backup backup | counted            | sent   sent    failed  | 0
hang               | unknown reply_timeout                          | unknown  | backup none   | counted            | sent   unknown unknown | 0
reset_before       | unknown connection_lost                        | unknown  | backup none   | counted            | sent   unknown unknown | 0
throttle           | throttled 20429                                | failed   | backup backup | paused 1           | sent   sent    failed  | 0
throttle after 7   | throttled 20429                                | failed   | backup backup | paused 7           | sent   sent    failed  | 0
unauthorized       | misconfigured 20003                            | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
suspended          | misconfigured 20005                            | failed   | backup backup | misconfigured 60   | sent   sent    failed  | 0
quota              | quota_exhausted 63038                          | failed   | backup backup | exhausted 3600     | sent   sent    failed  | 0
reject             | invalid_recipient 21211                        | failed   | none   none   | untouched          | failed failed  failed  | 0
slow 50            | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
slow 60000         | unknown reply_timeout                          | unknown  | backup none   | counted            | sent   unknown unknown | 1
hang_after         | unknown reply_timeout                          | unknown  | backup none   | counted            | sent   unknown unknown | 1
reset_after        | unknown connection_lost                        | unknown  | backup none   | counted            | sent   unknown unknown | 1
garbage            | unknown 201                                    | unknown  | backup none   | counted            | sent   unknown unknown | 1
truncate           | unknown connection_lost                        | unknown  | backup none   | counted            | sent   unknown unknown | 1
empty              | unknown 201                                    | unknown  | backup none   | counted            | sent   unknown unknown | 1
huge               | unknown reply_too_long                         | unknown  | backup none   | counted            | sent   unknown unknown | 1
accept_then_error  | unknown 20500                                  | unknown  | backup none   | counted            | sent   unknown unknown | 1
bounce             | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
never_deliver      | -                                              | accepted | none   none   | healthy            | sent   sent    sent    | 1
";

#[tokio::test]
async fn ses_under_every_fault() {
    check(Provider::Ses, Provider::SendGrid, SES).await;
}

#[tokio::test]
async fn sendgrid_under_every_fault() {
    check(Provider::SendGrid, Provider::Smtp, SENDGRID).await;
}

#[tokio::test]
async fn smtp_under_every_fault() {
    check(Provider::Smtp, Provider::Ses, SMTP).await;
}

#[tokio::test]
async fn sns_under_every_fault() {
    check(Provider::Sns, Provider::Twilio, SNS).await;
}

#[tokio::test]
async fn twilio_under_every_fault() {
    check(Provider::Twilio, Provider::Sns, TWILIO).await;
}

async fn check(provider: Provider, backup: Provider, table: &str) {
    let rows: Vec<Row> = table.lines().filter(|line| !line.is_empty()).map(Row::read).collect();
    for mode in Mode::ALL.into_iter().filter(|mode| mode.is_possible_for(provider)) {
        assert!(rows.iter().any(|row| row.fault.mode == mode), "{provider}: no row for {mode}");
    }
    let mut wrong = Vec::new();
    for row in &rows {
        for (place, run) in [Run::ALLOWED, Run::USED_CONNECTION, Run::NEVER_TWICE, Run::ALONE]
            .into_iter()
            .enumerate()
        {
            let (seen, expected) = (run.play(row, provider, backup).await, row.expected(place, provider));
            if seen != expected {
                wrong.push(format!("{} ({})\n  expected {expected:?}\n  seen     {seen:?}", row.line, run.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{provider}:\n{}", wrong.join("\n"));
}

/// A line of a table.
struct Row {
    line: String,
    fault: Fault,
    failure: Option<(FailureClass, String)>,
    outcome: OutcomeWord,
    asks_backup: [bool; 2],
    breaker: String,
    ends: [Status; 3],
    recorded: u64,
}

impl Row {
    fn read(line: &str) -> Self {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [fault, failure, outcome, asks, breaker, ends, recorded] = columns[..] else {
            panic!("not a row: {line}");
        };
        let ends: Vec<Status> = ends.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let asks: Vec<bool> = asks.split_whitespace().map(|word| word == "backup").collect();
        Self {
            line: line.to_owned(),
            fault: read_fault(fault),
            failure: failure
                .split_once(' ')
                .map(|(class, code)| (class.parse().unwrap(), code.to_owned())),
            outcome: outcome.parse().unwrap(),
            asks_backup: asks.try_into().unwrap(),
            breaker: breaker.to_owned(),
            ends: ends.try_into().unwrap(),
            recorded: recorded.parse().unwrap(),
        }
    }

    fn expected(&self, place: usize, provider: Provider) -> Seen {
        let run = [Run::ALLOWED, Run::USED_CONNECTION, Run::NEVER_TWICE, Run::ALONE][place];
        let asked = self.asks_backup[usize::from(run.duplicates == Duplicates::Never)];
        let end = if run.has_backup {
            self.ends[usize::from(run.duplicates == Duplicates::Never)]
        } else {
            self.ends[2]
        };
        // What an SMTP server refuses at MAIL on a used connection is asked once more on a fresh one.
        let is_refused_at_mail = matches!(self.fault.mode, Mode::Error | Mode::Suspended | Mode::Quota);
        Seen {
            class: self.failure.as_ref().map(|(class, _)| *class),
            code: self.failure.as_ref().map(|(_, code)| code.clone()),
            outcome: self.outcome,
            backup_took_it: run.has_backup && asked,
            breaker: self.breaker.clone(),
            end,
            possibly_duplicate: run.has_backup && asked && self.outcome == OutcomeWord::Unknown,
            recorded: self.recorded,
            asked_twice: run.is_warm && provider == Provider::Smtp && is_refused_at_mail,
        }
    }
}

/// `mode`, `error STATUS`, `slow MILLISECONDS`, `mode after SECONDS`.
fn read_fault(text: &str) -> Fault {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mode = Mode::ALL.into_iter().find(|mode| mode.name() == words[0]).unwrap();
    match words[1..] {
        [status] if mode == Mode::Error => Fault::new(mode).status(status.parse().unwrap()),
        [delay] if mode == Mode::Slow => Fault::new(mode).delay_ms(delay.parse().unwrap()),
        ["after", seconds] => Fault::new(mode).retry_after(seconds.parse().unwrap()),
        [] => Fault::new(mode),
        _ => panic!("not a fault: {text}"),
    }
}

/// What became of one message.
#[derive(Debug, PartialEq)]
struct Seen {
    class: Option<FailureClass>,
    code: Option<String>,
    outcome: OutcomeWord,
    backup_took_it: bool,
    breaker: String,
    end: Status,
    possibly_duplicate: bool,
    recorded: u64,
    asked_twice: bool,
}

/// The circumstances in which a fault strikes.
#[derive(Clone, Copy)]
struct Run {
    name: &'static str,
    duplicates: Duplicates,
    has_backup: bool,
    /// The connection has carried a message before.
    is_warm: bool,
}

impl Run {
    const ALLOWED: Self = Self {
        name: "duplicates allowed",
        duplicates: Duplicates::Allow,
        has_backup: true,
        is_warm: false,
    };
    const USED_CONNECTION: Self = Self {
        name: "on a connection that was used before",
        is_warm: true,
        ..Self::ALLOWED
    };
    const NEVER_TWICE: Self = Self {
        name: "duplicates never",
        duplicates: Duplicates::Never,
        ..Self::ALLOWED
    };
    const ALONE: Self = Self {
        name: "nobody to take over",
        has_backup: false,
        ..Self::ALLOWED
    };

    async fn play(self, row: &Row, provider: Provider, backup: Provider) -> Seen {
        let setup = if self.has_backup {
            Setup::chain(&[provider, backup])
        } else {
            Setup::alone(provider)
        };
        let bed = setup.start().await;
        if self.is_warm {
            assert_eq!(bed.send_to(provider, 0, |_| {}).await.provider(), Some(kind(provider)));
        }
        let (before, backup_before) = (bed.stats(provider), bed.stats(backup));
        bed.simulator.set_fault(provider, row.fault.clone()).await.unwrap();
        let result = bed
            .send_to(provider, 1, |handling| handling.duplicates = Some(self.duplicates))
            .await;
        let (after, backup_after) = (bed.stats(provider), bed.stats(backup));
        assert_eq!(result.attempts[0].provider, kind(provider));
        assert_eq!(
            result.attempts.len() > 1,
            backup_after.accepted > backup_before.accepted,
            "{}",
            row.line
        );
        Seen {
            class: result.attempts[0].class,
            code: result.attempts[0].code.clone(),
            outcome: result.attempts[0].outcome,
            backup_took_it: backup_after.accepted > backup_before.accepted,
            breaker: breaker(&bed, provider, &result),
            end: result.status,
            possibly_duplicate: result.possibly_duplicate,
            recorded: after.accepted - before.accepted,
            asked_twice: after.sends - before.sends > 1,
        }
    }
}

/// What the breaker looks like, in the tables' words.
fn breaker(bed: &Bed, provider: Provider, result: &SendResult) -> String {
    let health = bed.health(provider);
    let wait = health.reopens_at.map(|at| at.since(bed.clock_now()));
    let whole = |word: &str, seconds: Option<Duration>| format!("{word} {}", seconds.map_or(0, |wait| nominal(wait).as_secs()));
    match (health.circuit_breaker, health.status) {
        (BreakerStateWord::Open, HealthStatus::Misconfigured) => whole("misconfigured", wait),
        (BreakerStateWord::Open, HealthStatus::Exhausted) => whole("exhausted", wait),
        (BreakerStateWord::Closed, HealthStatus::Degraded) if wait.is_some() => whole("paused", wait),
        (BreakerStateWord::Closed, HealthStatus::Degraded) if health.failure_count == 1 => "counted".to_owned(),
        (BreakerStateWord::Closed, HealthStatus::Healthy) if result.provider() == Some(kind(provider)) => "healthy".to_owned(),
        (BreakerStateWord::Closed, HealthStatus::Healthy | HealthStatus::Unknown) => "untouched".to_owned(),
        (state, status) => format!("{state} {status}, {} failures", health.failure_count),
    }
}

/// Jitter may have shortened a wait by up to a fifth: the setting that it comes from.
fn nominal(wait: Duration) -> Duration {
    let settings = [60, 3_600].map(Duration::from_secs);
    let is_of = |whole: &Duration| wait <= *whole && wait >= whole.mul_f64(0.8);
    settings.into_iter().find(is_of).unwrap_or(wait)
}
