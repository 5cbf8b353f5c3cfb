//! One process over the database: scripted providers, a clock that is set by hand, and a hand on the store that fails, stops or delays
//! its calls.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use ums_core::{
    Email, FailureClass, IdempotencyKey, Lease, MessageFilter, MessageId, MessageRecord, Parsed, ProviderKind, Secret, SendEmail,
    SendResult, SendSms, Sms, Store, StoreError, TenantId, WebhookCall, WebhookFault, WebhookPost,
};
use ums_delivery::{Aftermath, BreakerSettings, Expiry, LinkParts, Messaging, NoObserver, PaceSettings, Parts, Price, Rules, Submission};
use ums_testkit::{FakeProvider, Hold, Moment, Operation, Reply, SeededRandom, StoreInHand, TestClock};

/// A hundred years: what waits in the fixture is still to be sent whenever a test opens it.
pub(crate) const FOR_GOOD: Duration = Duration::from_hours(100 * 365 * 24);
/// The service's key, from which webhook secrets are derived.
pub(crate) const KEY: &str = "a-key-of-the-service-in-the-fixture";
/// An application that takes every notice, and one that takes none.
pub(crate) const TAKES: &str = "https://takes.example.com/hook";
pub(crate) const REFUSES: &str = "https://refuses.example.com/hook";

/// What happens to a call of the store.
#[derive(Clone, Debug)]
pub(crate) enum Harm {
    /// It fails: nothing was done.
    Unavailable,
    /// Nobody knows whether it was done.
    CommitUnknown,
    /// It never ends.
    Hangs,
    /// Time passes meanwhile.
    Takes(Duration),
    /// It waits for its release.
    Waits(Arc<Notify>),
}

/// What happens to the next calls, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hand(Arc<Mutex<Vec<(Moment, usize, Harm)>>>);

impl Hand {
    /// Does it to so many calls at that moment.
    pub(crate) fn plan(&self, moment: Moment, calls: usize, harm: Harm) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((moment, calls, harm));
    }

    /// The worker takes nothing up any more.
    pub(crate) fn no_claims(&self) {
        self.plan(Moment::Before(Operation::Claim), usize::MAX, Harm::Unavailable);
    }

    fn next(&self, moment: Moment) -> Option<Harm> {
        let mut plan = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, left, harm) = plan.iter_mut().find(|(at, left, _)| *at == moment && *left > 0)?;
        *left -= 1;
        Some(harm.clone())
    }

    fn of(self, clock: Arc<TestClock>) -> impl Fn(Moment) -> Hold + Send + Sync {
        move |moment| {
            let harm = self.next(moment);
            let clock = clock.clone();
            Box::pin(async move {
                match harm {
                    None => Ok(()),
                    Some(Harm::Unavailable) => Err(StoreError::Unavailable("as the script says".into())),
                    Some(Harm::CommitUnknown) => Err(StoreError::CommitUnknown("as the script says".into())),
                    Some(Harm::Hangs) => std::future::pending().await,
                    Some(Harm::Takes(time)) => {
                        clock.advance(time);
                        Ok(())
                    }
                    Some(Harm::Waits(release)) => {
                        release.notified().await;
                        Ok(())
                    }
                }
            })
        }
    }
}

/// The user's applications.
#[derive(Debug)]
struct Applications;

#[async_trait]
impl WebhookPost for Applications {
    fn check_url(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    async fn post(&self, call: WebhookCall) -> Result<u16, WebhookFault> {
        Ok(if call.url == REFUSES { 500 } else { 204 })
    }
}

/// What one process after the other is started on.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) url: String,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) processes: u64,
}

/// How a process differs from the usual.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) email: [ProviderKind; 3],
    pub(crate) sms: [ProviderKind; 2],
    pub(crate) breaker: BreakerSettings,
    /// Of the first e-mail provider.
    pub(crate) pace: (u32, u32),
    /// How long the process may work without another look, by the script's clock.
    pub(crate) lease: Duration,
}

impl Default for Setup {
    /// Breakers that do not trip.
    fn default() -> Self {
        use ProviderKind as P;
        Self {
            email: [P::AwsSes, P::SendGrid, P::Smtp],
            sms: [P::AwsSns, P::Twilio],
            breaker: BreakerSettings {
                failures: 1_000,
                rate_percent: None,
                ..BreakerSettings::default()
            },
            pace: (0, 0),
            lease: Duration::MAX,
        }
    }
}

/// A process on a thread of its own runtime: what does not run inside [`Process::run`] stands still.
#[derive(Debug)]
pub(crate) struct Process {
    runtime: Runtime,
    pub(crate) engine: Messaging,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hand: Hand,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) email: Vec<Arc<FakeProvider<Email>>>,
    pub(crate) sms: Vec<Arc<FakeProvider<Sms>>>,
}

impl Stage {
    /// Starts a process an hour after the one before.
    pub(crate) fn process(&mut self, setup: &Setup) -> Process {
        self.clock.advance(Duration::from_hours(1));
        self.process_now(setup, Hand::default())
    }

    pub(crate) fn process_now(&mut self, setup: &Setup, hand: Hand) -> Process {
        self.processes += 1;
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (clock, url) = (self.clock.clone(), self.url.clone());
        let store = runtime.block_on(ums_store::open(&url, clock.clone())).unwrap();
        let in_hand = StoreInHand::new(store.clone(), hand.clone().of(clock.clone()));
        // By the script's clock, which jumps.
        in_hand.grant(Lease {
            length: setup.lease,
            ..runtime.block_on(store.renew()).unwrap()
        });
        let email: Vec<_> = setup.email.map(|kind| Arc::new(FakeProvider::new(kind))).into();
        let sms: Vec<_> = setup.sms.map(|kind| Arc::new(FakeProvider::new(kind))).into();
        let parts = Parts {
            clock: clock.clone(),
            random: Arc::new(SeededRandom::new(self.processes)),
            store: Arc::new(in_hand),
            observer: Arc::new(NoObserver),
            email: links(&email, setup, &Price::Recipient(Some(160)), setup.pace),
            sms: links(&sms, setup, &Price::Segment([(1, 8_300)].into()), (0, 0)),
            not_configured: Vec::new(),
            rules: Rules {
                expiry: Expiry {
                    otp: FOR_GOOD,
                    transactional: FOR_GOOD,
                    bulk: FOR_GOOD,
                },
                ..Rules::default()
            },
            troubles: ums_core::Troubles::default(),
            aftermath: Aftermath {
                webhooks: Some(Arc::new(Applications)),
                keys: vec![Secret::new(KEY)],
                ..Aftermath::default()
            },
        };
        Process {
            engine: runtime.block_on(Messaging::start(parts)).unwrap(),
            runtime,
            store,
            hand,
            clock,
            email,
            sms,
        }
    }
}

fn links<M: Clone + Send + Sync + 'static>(
    providers: &[Arc<FakeProvider<M>>],
    setup: &Setup,
    price: &Price,
    (per_second, per_day): (u32, u32),
) -> Vec<LinkParts<M>> {
    let link = |(place, provider): (usize, &Arc<FakeProvider<M>>)| LinkParts {
        provider: provider.clone(),
        breaker: setup.breaker.clone(),
        pace: if place == 0 {
            PaceSettings {
                per_second: NonZeroU32::new(per_second),
                per_day: NonZeroU32::new(per_day),
            }
        } else {
            PaceSettings::default()
        },
        price: price.clone(),
        fingerprint: ums_delivery::Fingerprint::default(),
    };
    providers.iter().enumerate().map(link).collect()
}

/// An e-mail whose recipient is named after its case.
pub(crate) fn mail(case: &str) -> SendEmail {
    let mut mail = SendEmail::new(format!("{case}@example.com"), format!("Message {case}")).text("Thank you");
    mail.metadata.insert("case".into(), case.into());
    mail
}

/// A text message; the number stands for its case.
pub(crate) fn text(case: &str, number: u32) -> SendSms {
    let mut text = SendSms::new(format!("+1416555{:04}", 100 + number), format!("Message {case}"));
    text.metadata.insert("case".into(), case.into());
    text
}

/// A key of a caller that is remembered for good.
pub(crate) fn key(key: &str, request: u8) -> IdempotencyKey {
    IdempotencyKey {
        key: key.to_owned(),
        fingerprint: [request; 32],
        expires_at: ums_core::Timestamp::from_micros(i64::MAX),
    }
}

/// What a caller hands in.
pub(crate) trait Request {
    fn parsed(self) -> Parsed;
}

impl Request for SendEmail {
    fn parsed(self) -> Parsed {
        self.parse().unwrap()
    }
}

impl Request for SendSms {
    fn parsed(self) -> Parsed {
        self.parse(None).unwrap()
    }
}

/// What is submitted.
pub(crate) fn submission(request: impl Request) -> Submission {
    Submission::from(request.parsed())
}

impl Process {
    /// Lets the process run until the future has an outcome.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Sends a second later than the one before, and waits until the message has an outcome or is held.
    pub(crate) fn send(&self, request: impl Request) -> SendResult {
        self.clock.advance(Duration::from_secs(1));
        self.run(self.engine.send(submission(request))).unwrap()
    }

    /// Submits a second later than the one before, and waits for nothing.
    pub(crate) fn submit(&self, request: impl Request) -> MessageId {
        self.clock.advance(Duration::from_secs(1));
        self.run(self.engine.submit(submission(request))).unwrap().message_id()
    }

    /// The message that was stored last.
    pub(crate) fn newest(&self) -> MessageId {
        let all = MessageFilter::default();
        let page = self.run(self.engine.messages(&TenantId::default(), &all, None, 1)).unwrap();
        page.messages[0].message.id
    }

    /// The e-mail providers, then those of text messages, answer so once.
    pub(crate) fn email_answers(&self, replies: &[Reply]) {
        for (provider, reply) in self.email.iter().zip(replies) {
            provider.answer_once(reply.clone());
        }
    }

    pub(crate) fn sms_answers(&self, replies: &[Reply]) {
        for (provider, reply) in self.sms.iter().zip(replies) {
            provider.answer_once(reply.clone());
        }
    }

    pub(crate) fn record(&self, id: MessageId) -> MessageRecord {
        self.run(self.engine.message(&TenantId::default(), id)).unwrap().unwrap()
    }

    /// Runs until the message is as it should be.
    pub(crate) fn until(&self, id: MessageId, is_so: impl Fn(&MessageRecord) -> bool) -> MessageRecord {
        for _ in 0..2_000 {
            let record = self.record(id);
            if is_so(&record) {
                return record;
            }
            self.runs_on(Duration::from_millis(10));
        }
        panic!("the message stays {:?}", self.record(id));
    }

    /// Runs for a moment.
    pub(crate) fn runs_on(&self, time: Duration) {
        self.run(async { tokio::time::sleep(time).await });
    }

    /// Ends as it is told to.
    pub(crate) fn ends(self) {
        self.run(self.engine.shutdown(Duration::from_secs(5)));
    }
}

/// A failure of this class, as the provider's answer.
pub(crate) fn fails(class: FailureClass) -> Reply {
    Reply::FailAs(class)
}
