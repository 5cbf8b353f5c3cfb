//! An engine over three scripted e-mail providers and three of text messages.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ums_core::{Clock, Email, MessageId, Monotonic, OnExhausted, ProviderKind, SendEmail, SendResult, SendSms, Sms, TenantId, Timestamp};
use ums_delivery::{BreakerSettings, LinkParts, Messaging, NoObserver, PaceSettings, Parts, Price, Rules};
use ums_store::MemoryStore;
use ums_testkit::{FakeProvider, SeededRandom, TestClock};

pub(crate) struct Bench {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) ses: Arc<FakeProvider<Email>>,
    pub(crate) sendgrid: Arc<FakeProvider<Email>>,
    pub(crate) smtp: Arc<FakeProvider<Email>>,
    pub(crate) sns: Arc<FakeProvider<Sms>>,
    pub(crate) twilio: Arc<FakeProvider<Sms>>,
    pub(crate) engine: Messaging,
}

/// Changes to the usual settings.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) rules: Rules,
    pub(crate) ses_pace: PaceSettings,
    pub(crate) remote: bool,
    /// Whether time passes between any two looks at the clock.
    pub(crate) ticking: bool,
    /// Holds the worker between its claim and its work while it is locked.
    pub(crate) after_claim: Option<Arc<tokio::sync::Mutex<()>>>,
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
        let clock = Arc::new(TestClock::new());
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
        let link = |provider: &Arc<FakeProvider<Email>>, pace| LinkParts {
            provider: provider.clone(),
            breaker: BreakerSettings::default(),
            pace,
            price: Price::Recipient(Some(160)),
        };
        let text = |provider: &Arc<FakeProvider<Sms>>| LinkParts {
            provider: provider.clone(),
            breaker: BreakerSettings::default(),
            pace: PaceSettings::default(),
            price: Price::Segment([(1, 8_300)].into()),
        };
        let store = MemoryStore::new(clock.clone());
        let engine = Messaging::start(Parts {
            clock: if self.ticking {
                Arc::new(TickingClock(clock.clone()))
            } else {
                clock.clone()
            },
            random: Arc::new(SeededRandom::new(42)),
            store: match self.after_claim {
                Some(gate) => Arc::new(crate::claims::held_at_claim(store, gate)),
                None => Arc::new(store),
            },
            observer: Arc::new(NoObserver),
            email: vec![
                link(&ses, self.ses_pace),
                link(&sendgrid, PaceSettings::default()),
                link(&smtp, PaceSettings::default()),
            ],
            sms: vec![text(&sns), text(&twilio)],
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
        }
    }
}

/// A clock that moves a microsecond with each look.
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

    /// Lets every task that can go on go on.
    pub(crate) async fn idle(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
}
