//! An engine over three scripted e-mail providers and three of text messages.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ums_core::{
    Channel, Clock, Email, FeedbackSource, MessageId, MessageRecord, Monotonic, OnExhausted, ProviderKind, Secret, SendEmail, SendResult,
    SendSms, Sms, StoreError, TenantId, Timestamp, WebhookPost,
};
use ums_delivery::{
    AttemptEvent, BreakerEvent, BreakerSettings, LinkParts, Messaging, Observer, PaceSettings, Parts, Price, Rules, SettledEvent,
    SubmitError,
};
use ums_store::MemoryStore;
use ums_testkit::{FakeProvider, Hold, Moment, SeededRandom, StoreInHand, TestClock};

pub(crate) struct Bench {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) ses: Arc<FakeProvider<Email>>,
    pub(crate) sendgrid: Arc<FakeProvider<Email>>,
    pub(crate) smtp: Arc<FakeProvider<Email>>,
    pub(crate) sns: Arc<FakeProvider<Sms>>,
    pub(crate) twilio: Arc<FakeProvider<Sms>>,
    pub(crate) engine: Messaging,
    pub(crate) store: Arc<StoreInHand>,
    pub(crate) memory: Arc<MemoryStore>,
    pub(crate) observer: Arc<Counts>,
}

/// Changes to the usual settings.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) rules: Rules,
    pub(crate) ses_pace: PaceSettings,
    pub(crate) remote: bool,
    /// Whether time passes between two reads of the clock.
    pub(crate) ticking: bool,
    /// While locked, stops the worker between its claim and its deliveries.
    pub(crate) after_claim: Option<Arc<tokio::sync::Mutex<()>>>,
    /// Makes calls of the store fail; only for a durable one.
    pub(crate) hand: Option<Hand>,
    /// Whether the store says that it is durable.
    pub(crate) durable: bool,
    /// Posts notices to applications.
    pub(crate) webhooks: Option<Arc<dyn WebhookPost>>,
    /// Sources of feedback to poll.
    pub(crate) sources: Vec<Arc<dyn FeedbackSource>>,
    /// The keys of the service.
    pub(crate) keys: Vec<Secret>,
    /// The store of an earlier process, and its clock; none for a new store.
    pub(crate) over: Option<(Arc<MemoryStore>, Arc<TestClock>)>,
    /// Seed of the random numbers.
    pub(crate) seed: u64,
}

/// Makes calls of a store fail.
pub(crate) type Hand = Arc<dyn Fn(Moment) -> Hold + Send + Sync>;

/// Fails a given number of calls at a given moment, and counts them.
#[derive(Clone, Default)]
pub(crate) struct Failing(Arc<Mutex<Option<(Moment, usize, Broken)>>>);

/// How a call of the store fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Unavailable,
    CommitUnknown,
    Fenced,
    NotFound,
}

impl Failing {
    /// Lets that many of the next calls fail at that moment.
    pub(crate) fn fail(&self, moment: Moment, calls: usize, how: Broken) {
        *self.0.lock().unwrap() = Some((moment, calls, how));
    }

    pub(crate) fn hand(&self) -> Hand {
        let failing = self.0.clone();
        Arc::new(move |moment| {
            let mut failing = failing.lock().unwrap();
            let error = match &mut *failing {
                Some((at, left, how)) if *at == moment && *left > 0 => {
                    *left -= 1;
                    Some(*how)
                }
                _ => None,
            };
            Box::pin(async move {
                match error {
                    None => Ok(()),
                    Some(Broken::Unavailable) => Err(StoreError::Unavailable("as the test says".into())),
                    Some(Broken::CommitUnknown) => Err(StoreError::CommitUnknown("as the test says".into())),
                    Some(Broken::Fenced) => Err(StoreError::Fenced),
                    Some(Broken::NotFound) => Err(StoreError::NotFound),
                }
            })
        })
    }
}

/// Counts the events that an engine tells its observer.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) fenced: AtomicUsize,
    /// Millionths of the currency.
    pub(crate) cost: AtomicI64,
}

impl Observer for Counts {
    fn attempt(&self, _: &AttemptEvent) {}
    fn breaker(&self, _: &BreakerEvent<'_>) {}
    fn settled(&self, _: &SettledEvent) {}
    fn fenced(&self) {
        self.fenced.fetch_add(1, Ordering::SeqCst);
    }
    fn cost(&self, _: Channel, micros: i64) {
        self.cost.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Setup {
    pub(crate) fn holding() -> Self {
        Self {
            rules: Rules {
                on_exhausted: Some(OnExhausted::Hold),
                ..Rules::default()
            },
            ..Self::default()
        }
    }

    /// A bench on a durable store whose calls can be made to fail.
    pub(crate) fn durable(hand: &Failing) -> Self {
        Self {
            hand: Some(hand.hand()),
            durable: true,
            ..Self::default()
        }
    }

    pub(crate) fn paced(per_second: u32, per_day: u32) -> Self {
        Self {
            ses_pace: PaceSettings {
                per_second: NonZeroU32::new(per_second),
                per_day: NonZeroU32::new(per_day),
            },
            ..Self::holding()
        }
    }

    pub(crate) async fn start(self) -> Bench {
        let clock = self
            .over
            .as_ref()
            .map_or_else(|| Arc::new(TestClock::new()), |(_, clock)| clock.clone());
        let made = |kind| {
            if self.remote {
                FakeProvider::new(kind).remote()
            } else {
                FakeProvider::new(kind)
            }
        };
        let (ses, sendgrid, smtp) = (
            Arc::new(made(ProviderKind::AwsSes)),
            Arc::new(made(ProviderKind::SendGrid)),
            Arc::new(made(ProviderKind::Smtp)),
        );
        let (sns, twilio) = (
            Arc::new(FakeProvider::new(ProviderKind::AwsSns)),
            Arc::new(FakeProvider::new(ProviderKind::Twilio)),
        );
        let memory = self
            .over
            .map_or_else(|| Arc::new(MemoryStore::new(clock.clone())), |(memory, _)| memory);
        let observer = Arc::new(Counts::default());
        let hand = self.hand.unwrap_or_else(|| Arc::new(|_| Box::pin(async { Ok(()) })));
        let store = StoreInHand::new(memory.clone(), move |moment| hand(moment)).durable();
        let claims_are_held = self.after_claim.is_some();
        let store = Arc::new(match self.after_claim {
            Some(gate) => crate::claims::held_at_claim(memory.clone(), gate),
            None => store,
        });
        let engine = Messaging::start(Parts {
            clock: if self.ticking {
                Arc::new(TickingClock(clock.clone()))
            } else {
                clock.clone()
            },
            random: Arc::new(SeededRandom::new(42 + self.seed)),
            store: if self.durable || claims_are_held {
                store.clone()
            } else {
                memory.clone()
            },
            observer: observer.clone(),
            email: vec![
                link(&ses, self.ses_pace),
                link(&sendgrid, PaceSettings::default()),
                link(&smtp, PaceSettings::default()),
            ],
            sms: vec![text(&sns), text(&twilio)],
            troubles: ums_core::Troubles::default(),
            aftermath: ums_delivery::Aftermath {
                sources: self.sources,
                webhooks: self.webhooks,
                keys: self.keys,
                ..ums_delivery::Aftermath::default()
            },
            not_configured: Vec::new(),
            rules: self.rules,
        })
        .await
        .unwrap();
        Bench {
            clock,
            ses,
            sendgrid,
            smtp,
            sns,
            twilio,
            engine,
            store,
            memory,
            observer,
        }
    }
}

fn link(provider: &Arc<FakeProvider<Email>>, pace: PaceSettings) -> LinkParts<Email> {
    LinkParts {
        provider: provider.clone(),
        breaker: BreakerSettings::default(),
        pace,
        price: Price::Recipient(Some(160)),
        fingerprint: ums_delivery::Fingerprint::default(),
    }
}

fn text(provider: &Arc<FakeProvider<Sms>>) -> LinkParts<Sms> {
    LinkParts {
        provider: provider.clone(),
        breaker: BreakerSettings::default(),
        pace: PaceSettings::default(),
        price: Price::Segment([(1, 8_300)].into()),
        fingerprint: ums_delivery::Fingerprint::default(),
    }
}

/// A clock that moves a microsecond with each read.
#[derive(Debug)]
struct TickingClock(Arc<TestClock>);

impl Clock for TickingClock {
    fn now(&self) -> Timestamp {
        self.0.advance(Duration::from_micros(1));
        self.0.now()
    }

    fn monotonic(&self) -> Monotonic {
        self.0.monotonic()
    }
}

pub(crate) async fn start() -> Bench {
    Setup::default().start().await
}

pub(crate) fn email() -> SendEmail {
    SendEmail::new("customer@example.com", "Your receipt").text("Thank you")
}

impl Bench {
    pub(crate) async fn send(&self, email: SendEmail) -> SendResult {
        self.engine.send(email.parse().unwrap().into()).await.unwrap()
    }

    pub(crate) async fn send_sms(&self, sms: SendSms) -> SendResult {
        self.engine
            .send(sms.parse(Some("US".parse().unwrap())).unwrap().into())
            .await
            .unwrap()
    }

    /// Submits without waiting for the outcome.
    pub(crate) async fn submit(&self, email: SendEmail) -> Result<MessageId, SubmitError> {
        let ticket = self.engine.submit(email.parse().unwrap().into()).await?;
        Ok(ticket.message_id())
    }

    pub(crate) async fn record(&self, id: MessageId) -> MessageRecord {
        self.engine.message(&TenantId::default(), id).await.unwrap().unwrap()
    }

    pub(crate) async fn look_up(&self, id: MessageId) -> SendResult {
        self.engine.message(&TenantId::default(), id).await.unwrap().unwrap().result()
    }

    pub(crate) fn providers(&self) -> [&Arc<FakeProvider<Email>>; 3] {
        [&self.ses, &self.sendgrid, &self.smtp]
    }

    /// Moves the time on, and lets the worker see it.
    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        tokio::time::advance(time).await;
        self.idle().await;
    }

    /// Runs every task until all of them wait.
    pub(crate) async fn idle(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
}
