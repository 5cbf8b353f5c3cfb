//! What is counted, for Prometheus. Labels come from closed sets only: never a recipient, a
//! tenant or anything else that callers choose.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use ums_core::{BreakerStateWord, Channel, HealthReport, ProviderKind, TroubleKind};
use ums_delivery::{AttemptEvent, BreakerEvent, FeedbackSeen, NoticeEvent, Observer, SettledEvent, Standing};

/// Upper bounds of the latency histograms, in seconds: fine around a provider's usual 20–500 ms.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Millionths in one unit of a currency.
const MICROS: f64 = 1_000_000.0;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    provider: &'static str,
    outcome: &'static str,
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MemoryLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TroubleLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabels {
    provider: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransitionLabels {
    provider: &'static str,
    to: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabels {
    channel: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChannelLabels {
    channel: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CostLabels {
    channel: &'static str,
    currency: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FeedbackLabels {
    provider: &'static str,
    kind: &'static str,
    end: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoticeLabels {
    kind: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HookLabels {
    hook: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhyLabels {
    why: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;
type Money = Counter<f64, AtomicU64>;

/// Counts of attempts, messages, breakers and requests. The engine tells it what happens, as its
/// [`Observer`]; the service shows it at `/metrics`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    attempts: Family<AttemptLabels, Counter>,
    attempt_durations: Histograms<ProviderLabels>,
    messages: Family<MessageLabels, Counter>,
    breaker_states: Family<ProviderLabels, Gauge>,
    disabled: Family<ProviderLabels, Gauge>,
    breaker_transitions: Family<TransitionLabels, Counter>,
    costs: Family<CostLabels, Money>,
    possible_duplicates: Family<ChannelLabels, Counter>,
    fenced_writes: Counter,
    log_lines_dropped: Counter,
    backlog: Gauge,
    memory: Family<MemoryLabels, Gauge>,
    may_send: Gauge,
    troubles: Family<TroubleLabels, Gauge>,
    http_requests: Family<RequestLabels, Counter>,
    http_durations: Histograms<RouteLabels>,
    http_connections: Gauge,
    connections_turned_out: Family<WhyLabels, Counter>,
    hook_requests: Family<HookLabels, Counter>,
    feedback: Family<FeedbackLabels, Counter>,
    notices: Family<NoticeLabels, Counter>,
    notice_durations: Histogram,
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    /// Starts all counts at zero.
    pub fn new() -> Self {
        let constructor: fn() -> Histogram = histogram;
        let mut metrics = Self {
            registry: Registry::with_prefix("ums"),
            attempts: Family::default(),
            attempt_durations: Family::new_with_constructor(constructor),
            messages: Family::default(),
            breaker_states: Family::default(),
            disabled: Family::default(),
            breaker_transitions: Family::default(),
            costs: Family::default(),
            possible_duplicates: Family::default(),
            fenced_writes: Counter::default(),
            log_lines_dropped: Counter::default(),
            backlog: Gauge::default(),
            memory: Family::default(),
            may_send: Gauge::default(),
            troubles: Family::default(),
            http_requests: Family::default(),
            http_durations: Family::new_with_constructor(constructor),
            http_connections: Gauge::default(),
            connections_turned_out: Family::default(),
            hook_requests: Family::default(),
            feedback: Family::default(),
            notices: Family::default(),
            notice_durations: histogram(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("attempts", "Calls to providers that ended", self.attempts.clone());
        let durations = self.attempt_durations.clone();
        registry.register_with_unit("attempt_duration", "How long calls to providers took", Unit::Seconds, durations);
        registry.register("messages", "Messages that have an outcome or are held", self.messages.clone());
        registry.register(
            "breaker_state",
            "0 closed (serving), 1 half-open (probing), 2 open (refusing)",
            self.breaker_states.clone(),
        );
        registry.register(
            "provider_disabled",
            "1 while an operator has the provider out of service",
            self.disabled.clone(),
        );
        registry.register("breaker_transitions", "Changes of breakers", self.breaker_transitions.clone());
        registry.register("cost", "Estimated cost in units of the currency", self.costs.clone());
        let duplicates = self.possible_duplicates.clone();
        registry.register(
            "possible_duplicates",
            "Messages that more than one provider may have taken",
            duplicates,
        );
        registry.register(
            "fenced_writes",
            "Writes that the store refused because another process had taken the message over",
            self.fenced_writes.clone(),
        );
        registry.register(
            "log_lines_dropped",
            "Lines of the log that were dropped because nobody read those before them",
            self.log_lines_dropped.clone(),
        );
        registry.register("backlog_messages", "Messages that wait in the store", self.backlog.clone());
        let what = "Memory that the messages in hand take (in_hand), and may take (limit)";
        registry.register_with_unit("memory", what, Unit::Bytes, self.memory.clone());
        registry.register(
            "may_send",
            "1 while this process may call providers: its lease holds and no other process sends in its place",
            self.may_send.clone(),
        );
        registry.register("trouble", "1 while this trouble of the service itself lasts", self.troubles.clone());
        registry.register(
            "http_requests",
            "Requests that ended (status 499: the client went away)",
            self.http_requests.clone(),
        );
        let durations = self.http_durations.clone();
        registry.register_with_unit("http_request_duration", "How long requests took", Unit::Seconds, durations);
        registry.register("http_connections", "Open connections", self.http_connections.clone());
        let what = "Connections closed to make room (room), or for another of the same peer (peer), or refused because of their peer";
        registry.register("http_connections_turned_out", what, self.connections_turned_out.clone());
        registry.register(
            "hook_requests",
            "Reports that providers posted, by what became of them: ok, or why not",
            self.hook_requests.clone(),
        );
        registry.register(
            "feedback_events",
            "What providers reported, by what became of it: applied, parked (waits for its message, or belongs to none), known already",
            self.feedback.clone(),
        );
        registry.register(
            "notices",
            "Posts to webhook endpoints, by where the notice stands afterwards: delivered, pending (posted again later), failed (given up)",
            self.notices.clone(),
        );
        let durations = self.notice_durations.clone();
        registry.register_with_unit(
            "notice_duration",
            "How long posts to webhook endpoints took",
            Unit::Seconds,
            durations,
        );
    }

    /// The counts in the `OpenMetrics` text format; breaker states are taken from the report, so
    /// that a breaker that never changed is there, too.
    pub(crate) fn text(&self, health: &HealthReport, standing: Standing) -> Result<String, fmt::Error> {
        self.backlog.set(i64::try_from(standing.backlog).unwrap_or(i64::MAX));
        for (state, bytes) in [("in_hand", standing.memory_bytes), ("limit", standing.memory_limit)] {
            let labels = MemoryLabels { state };
            self.memory.get_or_create(&labels).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        self.may_send.set(i64::from(standing.may_send));
        for kind in TroubleKind::ALL {
            let lasts = health.troubles.iter().any(|trouble| trouble.kind == *kind);
            let labels = TroubleLabels { kind: kind.as_str() };
            self.troubles.get_or_create(&labels).set(i64::from(lasts));
        }
        for provider in health.email_providers.iter().chain(&health.sms_providers) {
            self.set_breaker(provider.provider, provider.circuit_breaker);
            let labels = ProviderLabels {
                provider: provider.provider.as_str(),
            };
            self.disabled.get_or_create(&labels).set(i64::from(provider.disabled.is_some()));
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn set_breaker(&self, provider: ProviderKind, state: BreakerStateWord) {
        let value = match state {
            BreakerStateWord::Closed => 0,
            BreakerStateWord::HalfOpen => 1,
            BreakerStateWord::Open => 2,
        };
        self.breaker_states
            .get_or_create(&ProviderLabels {
                provider: provider.as_str(),
            })
            .set(value);
    }

    pub(crate) fn hook_request(&self, hook: &'static str, result: &'static str) {
        self.hook_requests.get_or_create(&HookLabels { hook, result }).inc();
    }

    pub(crate) fn http_request(&self, route: &str, method: &'static str, status: u16, time: Duration) {
        self.http_requests
            .get_or_create(&RequestLabels {
                route: route.to_owned(),
                method,
                status,
            })
            .inc();
        self.http_durations
            .get_or_create(&RouteLabels {
                route: route.to_owned(),
                method,
            })
            .observe(time.as_secs_f64());
    }

    /// Counts a connection that had to go, or was not let in.
    pub(crate) fn connection_turned_out(&self, why: &'static str) {
        self.connections_turned_out.get_or_create(&WhyLabels { why }).inc();
    }

    /// Counts lines of the log that were dropped.
    pub fn log_lines_dropped(&self, lines: u64) {
        self.log_lines_dropped.inc_by(lines);
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn connection(&self) -> ConnectionGuard {
        self.http_connections.inc();
        ConnectionGuard(self.http_connections.clone())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Metrics {
    fn attempt(&self, event: &AttemptEvent) {
        let provider = event.provider.as_str();
        let class = event.class.map_or("none", ums_core::FailureClass::as_str);
        self.attempts
            .get_or_create(&AttemptLabels {
                provider,
                outcome: event.outcome.as_str(),
                class,
            })
            .inc();
        self.attempt_durations
            .get_or_create(&ProviderLabels { provider })
            .observe(event.duration.as_secs_f64());
    }

    fn breaker(&self, event: &BreakerEvent<'_>) {
        let labels = TransitionLabels {
            provider: event.provider.as_str(),
            to: event.to.as_str(),
        };
        self.breaker_transitions.get_or_create(&labels).inc();
        self.set_breaker(event.provider, event.to);
    }

    fn fenced(&self) {
        self.fenced_writes.inc();
    }

    fn feedback(&self, event: &FeedbackSeen) {
        let labels = FeedbackLabels {
            provider: event.provider.as_str(),
            kind: event.kind.as_str(),
            end: event.end.as_str(),
        };
        self.feedback.get_or_create(&labels).inc();
    }

    fn notice(&self, event: &NoticeEvent) {
        let labels = NoticeLabels {
            kind: event.kind.as_str(),
            state: event.state.as_str(),
        };
        self.notices.get_or_create(&labels).inc();
        self.notice_durations.observe(event.duration.as_secs_f64());
    }

    fn settled(&self, event: &SettledEvent) {
        let channel = event.channel.as_str();
        self.messages
            .get_or_create(&MessageLabels {
                channel,
                status: event.status.as_str(),
            })
            .inc();
        if event.possibly_duplicate {
            self.possible_duplicates.get_or_create(&ChannelLabels { channel }).inc();
        }
    }

    fn cost(&self, channel: Channel, micros: i64) {
        #[expect(clippy::cast_precision_loss, reason = "a counter of money; exact amounts are in the store")]
        let cost = micros as f64 / MICROS;
        let channel = channel.as_str();
        self.costs.get_or_create(&CostLabels { channel, currency: "USD" }).inc_by(cost);
    }
}

/// A connection that is counted.
#[derive(Debug)]
pub(crate) struct ConnectionGuard(Gauge);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
