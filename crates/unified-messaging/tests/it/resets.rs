//! Connections that are reset at any instant: "surely not sent" is said only where it is so.
//!
//! What the adapter says is held against what a proxy between it and the simulator has seen, and
//! against what the simulator has recorded.

use std::sync::Arc;

use ums_core::Random as _;
use ums_simulator::{Provider, Simulator};
use ums_testkit::{SeededRandom, TestClock};
use unified_messaging::{AttemptResult, FailureClass, OutcomeWord, request::AttachmentRequest};

use crate::cutter::{Cut, Cutter, Passed};
use crate::setup::{Bed, Setup, email, simulator};

const HTTP: [Provider; 4] = [Provider::Ses, Provider::SendGrid, Provider::Sns, Provider::Twilio];
/// Random cuts in a request and in a reply, for each provider and kind of connection.
const REQUEST_CUTS: usize = 24;
const REPLY_CUTS: usize = 12;
/// Change it to see other instants.
const SEED: u64 = 0x5eed;

/// A provider behind a proxy that cuts, and nobody to take over.
struct Line {
    provider: Provider,
    simulator: Arc<Simulator>,
    cutter: Cutter,
}

/// One message under one cut.
#[derive(Debug)]
struct Case {
    /// For the reader of a failure.
    #[expect(dead_code, reason = "shown by Debug")]
    cut: Cut,
    attempt: AttemptResult,
    passed: Passed,
    recorded: u64,
    sends: u64,
}

impl Line {
    async fn to(provider: Provider) -> Self {
        let simulator = simulator().await;
        let cutter = Cutter::before(simulator.addr(provider)).await;
        Self {
            provider,
            simulator,
            cutter,
        }
    }

    async fn bed(&self) -> Bed {
        let setup = Setup {
            through: Some((self.provider, self.cutter.address)),
            ..Setup::alone(self.provider)
        };
        setup.start_at(Arc::clone(&self.simulator), Arc::new(TestClock::new())).await
    }

    /// Sends one message, on a fresh connection or on one that carried a message before.
    async fn send(&self, cut: Cut, is_reused: bool) -> Case {
        self.cutter.arm(Cut::Never);
        let bed = self.bed().await;
        if is_reused {
            bed.send_to(self.provider, 0, |_| {}).await;
        }
        let before = self.simulator.stats(self.provider);
        self.cutter.arm(cut);
        let result = bed.send_to(self.provider, 1, |_| {}).await;
        let after = self.simulator.stats(self.provider);
        assert_eq!(result.attempts.len(), 1, "nobody is there to take over");
        Case {
            cut,
            attempt: result.attempts[0].clone(),
            passed: self.cutter.passed(),
            recorded: after.accepted - before.accepted,
            sends: after.sends - before.sends,
        }
    }

    /// Random cuts over the whole of a request and of a reply, and a little beyond.
    async fn cuts(&self, random: &SeededRandom, is_reused: bool) -> Vec<Cut> {
        let whole = self.send(Cut::Never, is_reused).await;
        assert_eq!(whole.attempt.outcome, OutcomeWord::Accepted);
        let (request, reply) = (whole.passed.up(), whole.passed.down());
        let within = |length: usize| below(random, length + length / 8);
        let mut cuts = vec![
            Cut::Now,
            Cut::AfterRequest(1),
            Cut::AfterRequest(request),
            Cut::AfterReply(1),
            Cut::AfterReply(reply),
        ];
        cuts.extend((0..REQUEST_CUTS).map(|_| Cut::AfterRequest(within(request))));
        cuts.extend((0..REPLY_CUTS).map(|_| Cut::AfterReply(within(reply))));
        cuts
    }
}

fn below(random: &SeededRandom, limit: usize) -> usize {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    usize::try_from(u64::from_le_bytes(bytes) % u64::try_from(limit).unwrap()).unwrap()
}

impl Case {
    fn is(&self, class: FailureClass) -> bool {
        self.attempt.class == Some(class)
    }

    /// What must hold whichever the protocol.
    fn check(&self) {
        let is_accepted = self.attempt.outcome == OutcomeWord::Accepted;
        assert!(
            is_accepted || self.is(FailureClass::Unknown) || self.is(FailureClass::Unavailable),
            "{self:?}"
        );
        assert_eq!(
            self.attempt.outcome == OutcomeWord::Failed,
            self.is(FailureClass::Unavailable),
            "{self:?}"
        );
        assert!(self.recorded <= 1 && self.sends <= 1, "written a second time: {self:?}");
        if self.recorded > 0 {
            assert!(!self.is(FailureClass::Unavailable), "it was taken: {self:?}");
        }
        if is_accepted {
            assert_eq!(self.recorded, 1, "{self:?}");
        }
    }
}

async fn http_resets(is_reused: bool) {
    let random = SeededRandom::new(SEED);
    let mut unknown = 0;
    for provider in HTTP {
        let line = Line::to(provider).await;
        for cut in line.cuts(&random, is_reused).await {
            let case = line.send(cut, is_reused).await;
            case.check();
            if case.passed.up() > 0 {
                assert!(
                    !case.is(FailureClass::Unavailable),
                    "{provider}: a byte had been handed over: {case:?}"
                );
            }
            unknown += usize::from(case.is(FailureClass::Unknown));
        }
    }
    assert!(unknown > HTTP.len() * REQUEST_CUTS / 2, "the cuts were real: {unknown}");
}

#[tokio::test]
async fn a_request_reset_at_any_byte_is_unavailable_only_if_no_byte_arrived() {
    http_resets(false).await;
}

#[tokio::test]
async fn the_same_on_a_connection_that_was_used_before() {
    http_resets(true).await;
}

#[tokio::test]
async fn a_connection_that_was_reset_while_idle_before_a_closed_port_sent_nothing() {
    for provider in HTTP.into_iter().chain([Provider::Smtp]) {
        let line = Line::to(provider).await;
        let bed = line.bed().await;
        bed.send_to(provider, 0, |_| {}).await;
        line.cutter.stop_listening();
        line.cutter.arm(Cut::Now);
        while line.cutter.passed().cuts == 0 {
            tokio::task::yield_now().await;
        }
        let result = bed.send_to(provider, 1, |_| {}).await;
        assert_eq!(result.attempts[0].class, Some(FailureClass::Unavailable), "{provider}: {result:?}");
        assert_eq!(line.cutter.passed().up(), 0, "{provider}");
    }
}

#[tokio::test]
async fn a_connection_that_was_reset_while_idle_costs_no_attempt() {
    for provider in Provider::ALL {
        let line = Line::to(provider).await;
        let bed = line.bed().await;
        bed.send_to(provider, 0, |_| {}).await;
        line.cutter.arm(Cut::Now);
        while line.cutter.passed().cuts == 0 {
            tokio::task::yield_now().await;
        }
        line.cutter.arm(Cut::Never);
        let result = bed.send_to(provider, 1, |_| {}).await;
        assert_eq!(result.attempts[0].outcome, OutcomeWord::Accepted, "{provider}: {result:?}");
        assert_eq!(line.simulator.stats(provider).accepted, 2, "{provider}");
    }
}

async fn smtp_resets(is_reused: bool) {
    let random = SeededRandom::new(SEED);
    let line = Line::to(Provider::Smtp).await;
    let mut seen = [0; 2];
    for cut in line.cuts(&random, is_reused).await {
        let case = line.send(cut, is_reused).await;
        case.check();
        if !case.passed.to_client.values().any(|replies| was_invited(replies)) {
            assert!(case.is(FailureClass::Unavailable), "the dot cannot have been handed over: {case:?}");
        }
        if case.passed.from_client.values().any(|commands| body_began(commands)) {
            // A small body and its dot are one write.
            assert!(!case.is(FailureClass::Unavailable), "the dot was handed over: {case:?}");
        }
        seen[0] += usize::from(case.is(FailureClass::Unavailable));
        seen[1] += usize::from(case.is(FailureClass::Unknown));
    }
    assert!(seen.iter().all(|count| *count > 3), "both sides of the dot were cut: {seen:?}");
}

/// Whether the server has asked for the body.
fn was_invited(replies: &[u8]) -> bool {
    replies.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"354"))
}

/// Whether a byte of the message itself came: all that follows the one DATA command.
fn body_began(commands: &[u8]) -> bool {
    let data = b"\r\nDATA\r\n";
    let at = commands.windows(data.len()).position(|window| window == data);
    at.is_some_and(|at| commands.len() > at + data.len())
}

#[tokio::test]
async fn an_smtp_dialogue_reset_at_any_byte_is_unavailable_only_before_the_dot() {
    smtp_resets(false).await;
}

#[tokio::test]
async fn the_same_on_an_smtp_session_that_was_used_before() {
    smtp_resets(true).await;
}

#[tokio::test]
async fn a_large_body_that_breaks_off_before_its_dot_is_surely_not_sent() {
    let line = Line::to(Provider::Smtp).await;
    let bed = line.bed().await;
    let mut large = email("customer@example.com");
    large.attachments.push(AttachmentRequest {
        filename: "large.bin".to_owned(),
        content_type: None,
        content: vec![7; 16 << 20].into(),
        disposition: None,
        content_id: None,
    });
    line.cutter.arm(Cut::AfterRequest(100_000));
    let result = bed.send(large).await;
    assert_eq!(result.attempts[0].class, Some(FailureClass::Unavailable), "{result:?}");
    assert!(
        line.cutter.passed().from_client.values().any(|commands| body_began(commands)),
        "the body was under way"
    );
    assert_eq!(line.simulator.stats(Provider::Smtp).accepted, 0);
}
