//! The load generator: callers that post, repeat with the same key what was not answered, and write
//! down each promise before their next request.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::chance::Chance;
use super::journal::{Ack, AckJournal, MARK};
use super::web::{Answer, Ask, Lost, Web};

/// Text messages go to so many numbers at most: more would not have four digits.
const NUMBERS: u64 = 9_900;

/// What is posted.
#[derive(Debug, Clone)]
pub(super) struct Mix {
    /// Callers at work at the same time.
    pub(super) callers: usize,
    /// Pause of a caller between two requests, at most.
    pub(super) pause: Duration,
    /// Requests in a hundred that are batches.
    pub(super) batches: u64,
    /// Messages of a batch, at most.
    pub(super) batch: u64,
    /// Messages in a hundred that are to be sent later.
    pub(super) scheduled: u64,
    /// Posts in a hundred that wait for the outcome.
    pub(super) waiting: u64,
    /// Posts in a hundred that are made again after their answer, with the same key.
    pub(super) again: u64,
    /// Subscribers that are written to, of e-mail; of text messages there are [`NUMBERS`] at most.
    pub(super) subscribers: u64,
    /// Whether the time of each accepted post is kept until [`Seen::times`] takes it.
    pub(super) is_timed: bool,
    /// When messages expire, in seconds.
    pub(super) expires_in: u64,
    /// The provider that all are bound to, if any.
    pub(super) via: Option<&'static str>,
    /// The purpose of all, if it is one.
    pub(super) purpose: Option<&'static str>,
    /// What all say of duplicates, if it is one word.
    pub(super) duplicates: Option<&'static str>,
    /// The channel of all, if it is one.
    pub(super) channel: Option<&'static str>,
    /// Bytes of the file of each e-mail, if it has one.
    pub(super) file_bytes: usize,
    /// Ends after so many messages, if ever.
    pub(super) messages: u64,
    /// Messages a second, at most.
    pub(super) per_second: Option<u32>,
    /// Longest wait for an answer; the service waits for an outcome up to the 3 s that are asked for.
    pub(super) answer: Duration,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            callers: 8,
            pause: Duration::from_millis(150),
            batches: 10,
            batch: 20,
            scheduled: 5,
            waiting: 50,
            again: 0,
            subscribers: 100,
            is_timed: false,
            expires_in: 90,
            via: None,
            purpose: None,
            duplicates: None,
            channel: None,
            file_bytes: 0,
            messages: u64::MAX,
            per_second: None,
            answer: Duration::from_secs(20),
        }
    }
}

/// What the callers saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) acks: AtomicU64,
    /// Posts that were answered 2xx.
    pub(super) accepted: AtomicU64,
    /// Posts that were answered 429 or 5xx.
    pub(super) turned_away: AtomicU64,
    /// Of these, the ones without `Retry-After`.
    pub(super) without_retry_after: AtomicU64,
    /// Connections that nobody took.
    pub(super) unreached: AtomicU64,
    /// Connections that broke while a request was in hand.
    pub(super) broken: AtomicU64,
    pub(super) late: AtomicU64,
    /// Posts whose connection broke although the message was accepted, as their repetition showed.
    pub(super) answers_lost: AtomicU64,
    /// Posts that were refused for good, with the reason: the drill's own fault.
    refused: Mutex<Vec<String>>,
    /// Keys whose repetition was not answered as the first post was.
    strayed: Mutex<Vec<String>>,
    /// Repetitions of answered posts.
    pub(super) repeated: AtomicU64,
    times: Mutex<Times>,
    /// When a post was last accepted.
    last_accept: Mutex<Option<Instant>>,
}

/// How long accepted posts took.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// Those answered as soon as the message was stored.
    pub(super) stored: Vec<Duration>,
    /// Those that waited for the outcome.
    pub(super) waited: Vec<Duration>,
}

impl Seen {
    pub(super) fn refused(&self) -> Vec<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn strayed(&self) -> Vec<String> {
        self.strayed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The times since the last look.
    pub(super) fn times(&self) -> Times {
        std::mem::take(&mut *self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn last_accept(&self) -> Option<Instant> {
        *self.last_accept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Callers at work.
#[derive(Debug)]
pub(super) struct Load {
    shared: Arc<Shared>,
    callers: JoinSet<Result<()>>,
}

#[derive(Debug)]
struct Shared {
    web: Web,
    mix: Mix,
    targets: RwLock<Vec<SocketAddr>>,
    journal: AckJournal,
    seen: Arc<Seen>,
    next: AtomicU64,
    run: u64,
    began: Instant,
    has_to_stop: AtomicBool,
}

/// How a post asks to be answered when the outcome is known.
const WAITS: &str = "wait=3";

/// A post that is repeated until it is answered.
struct Post {
    path: &'static str,
    body: Value,
    key: String,
    wait: &'static str,
    /// Mark and policy of each message in it.
    messages: Vec<(String, bool)>,
}

impl Load {
    /// Sends the callers to work.
    pub(super) fn start(seed: u64, mix: &Mix, targets: &[SocketAddr], journal: &Path) -> Result<Self> {
        let shared = Arc::new(Shared {
            web: Web::new(),
            mix: mix.clone(),
            targets: RwLock::new(targets.to_vec()),
            journal: AckJournal::create(journal)?,
            seen: Arc::default(),
            next: AtomicU64::new(1),
            run: seed,
            began: Instant::now(),
            has_to_stop: AtomicBool::new(false),
        });
        let mut callers = JoinSet::new();
        for number in 0..mix.callers {
            let chance = Chance::of(seed, &format!("caller {number}"));
            callers.spawn(Arc::clone(&shared).call_on(chance));
        }
        Ok(Self { shared, callers })
    }

    pub(super) fn seen(&self) -> &Arc<Seen> {
        &self.shared.seen
    }

    /// Waits until all messages of the mix are promised.
    pub(super) async fn all_posted(&mut self) -> Result<()> {
        while let Some(ended) = self.callers.join_next().await {
            ended.context("a caller broke off")??;
        }
        Ok(())
    }

    /// Lets each caller finish its request, repeated until it is answered, and ends.
    pub(super) async fn finish(mut self) -> Result<Arc<Seen>> {
        self.shared.has_to_stop.store(true, Ordering::Release);
        self.all_posted().await?;
        Ok(Arc::clone(&self.shared.seen))
    }
}

impl Shared {
    async fn call_on(self: Arc<Self>, mut chance: Chance) -> Result<()> {
        while !self.has_to_stop.load(Ordering::Acquire) {
            let count = if chance.percent(self.mix.batches) {
                chance.within(2..=self.mix.batch.max(2))
            } else {
                1
            };
            let first = self.next.fetch_add(count, Ordering::Relaxed);
            if first > self.mix.messages {
                break;
            }
            let count = count.min(self.mix.messages - first + 1);
            if let Some(rate) = self.mix.per_second {
                let due = Duration::from_millis(first * 1_000 / u64::from(rate.max(1)));
                tokio::time::sleep(due.saturating_sub(self.began.elapsed())).await;
            }
            let post = self.post(&mut chance, first, count);
            self.repeat(&mut chance, &post).await?;
            let most = u64::try_from(self.mix.pause.as_millis()).unwrap_or(u64::MAX);
            if most > 0 {
                tokio::time::sleep(chance.millis(0..=most)).await;
            }
        }
        Ok(())
    }

    fn post(&self, chance: &mut Chance, first: u64, count: u64) -> Post {
        let mut messages = Vec::new();
        let mut bodies = Vec::new();
        let mut path = "/v1/batches";
        for number in first..first + count {
            let mark = format!("{MARK}{:x}-{number}", self.run);
            let is_email = self.mix.channel.map_or_else(|| chance.percent(70), |channel| channel == "email");
            let (mut body, may_duplicate) = self.message(chance, &mark, is_email);
            if count > 1 {
                let channel = if is_email { "email" } else { "sms" };
                body["channel"] = json!(channel);
            } else {
                path = if is_email { "/v1/emails" } else { "/v1/sms" };
            }
            messages.push((mark, may_duplicate));
            bodies.push(body);
        }
        let body = match (count, bodies.pop()) {
            (1, Some(body)) => body,
            (_, last) => {
                bodies.extend(last);
                json!({"messages": bodies})
            }
        };
        Post {
            path,
            body,
            key: format!("{MARK}key-{:x}-{first}", self.run),
            wait: if chance.percent(self.mix.waiting) { WAITS } else { "respond-async" },
            messages,
        }
    }

    /// A message and whether it may be doubled.
    fn message(&self, chance: &mut Chance, mark: &str, is_email: bool) -> (Value, bool) {
        let purpose = match self.mix.purpose {
            Some(purpose) => purpose,
            None => match chance.below(10) {
                0..3 => "otp",
                3..8 => "transactional",
                _ => "bulk",
            },
        };
        let duplicates = match (self.mix.duplicates, chance.below(3)) {
            (Some(word), _) => Some(word),
            (None, 0) => None,
            (None, 1) => Some("allow"),
            (None, _) => Some("never"),
        };
        // What the service does when nothing is said.
        let may_duplicate = duplicates.map_or(purpose != "bulk", |word| word == "allow");
        let number = chance.below(self.mix.subscribers);
        let mut body = json!({
            "purpose": purpose,
            "metadata": {"mark": mark, "may_duplicate": may_duplicate},
            "expires_in_seconds": self.mix.expires_in,
        });
        if is_email {
            body["to"] = json!(format!("reader{number}@example.com"));
            body["subject"] = json!(format!("Message {mark} of a drill"));
            body["text_content"] = json!("Nothing to be seen here.");
            if self.mix.file_bytes > 0 {
                // In base64, three bytes are four letters.
                let content = "A".repeat(self.mix.file_bytes.div_ceil(3) * 4);
                body["attachments"] =
                    json!([{"filename": "file.bin", "content_type": "application/octet-stream", "content_base64": content}]);
            }
        } else {
            body["to"] = json!(format!("+1416555{:04}", 100 + number % NUMBERS));
            body["message_body"] = json!(format!("Message {mark} of a drill"));
        }
        if let Some(word) = duplicates {
            body["duplicates"] = json!(word);
        }
        if let Some(via) = self.mix.via {
            body["via"] = json!(via);
        }
        if chance.percent(self.mix.scheduled) {
            let later = i64::try_from(chance.within(1..=10)).unwrap_or(1);
            body["send_at"] = json!((Timestamp::now() + SignedDuration::from_secs(later)).to_string());
        }
        (body, may_duplicate)
    }

    /// Posts until there is an answer that says yes or no, always with the same key and body.
    async fn repeat(&self, chance: &mut Chance, post: &Post) -> Result<()> {
        let mut ask = Ask::with_json("POST", post.path, &post.body);
        ask.headers.push(("idempotency-key", post.key.clone()));
        ask.headers.push(("prefer", post.wait.to_owned()));
        ask.limit = self.mix.answer;
        let seen = &self.seen;
        let mut has_broken = false;
        loop {
            let target = self.target(chance).context("no server to post to")?;
            let asked = Instant::now();
            let counter = match self.web.ask(target, &ask).await {
                Ok(answer) if answer.is_success() => {
                    self.keep_time(post, asked.elapsed());
                    if has_broken && answer.replayed {
                        seen.answers_lost.fetch_add(1, Ordering::Relaxed);
                    }
                    let ids = self.promised(post, &answer)?;
                    if chance.percent(self.mix.again) {
                        self.post_again(target, &ask, post, &ids).await;
                    }
                    return Ok(());
                }
                Ok(answer) if matches!(answer.status, 409 | 429 | 500..) => {
                    if !answer.retry_after {
                        seen.without_retry_after.fetch_add(1, Ordering::Relaxed);
                    }
                    &seen.turned_away
                }
                Ok(answer) => {
                    let text = format!("{} {}: {}", post.path, answer.status, String::from_utf8_lossy(&answer.text));
                    seen.refused.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                    return Ok(());
                }
                Err(Lost::Unreached) => &seen.unreached,
                Err(Lost::Broken) => {
                    has_broken = true;
                    &seen.broken
                }
                Err(Lost::Late) => &seen.late,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(chance.millis(30..=200)).await;
        }
    }

    fn keep_time(&self, post: &Post, took: Duration) {
        if self.mix.is_timed {
            let mut times = self.seen.times.lock().unwrap_or_else(PoisonError::into_inner);
            let of_its_kind = if post.wait == WAITS { &mut times.waited } else { &mut times.stored };
            of_its_kind.push(took);
        }
    }

    /// Posts once more what was answered: the key has to answer with the same messages. A repetition that is turned away says nothing.
    async fn post_again(&self, target: SocketAddr, ask: &Ask<'_>, post: &Post, ids: &[String]) {
        let Ok(answer) = self.web.ask(target, ask).await else { return };
        if !answer.is_success() {
            return;
        }
        self.seen.repeated.fetch_add(1, Ordering::Relaxed);
        if ids_of(&answer.json()) != ids || !answer.replayed {
            let told = format!("{}: {} {}", post.key, answer.status, String::from_utf8_lossy(&answer.text));
            self.seen.strayed.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        }
    }

    fn target(&self, chance: &mut Chance) -> Option<SocketAddr> {
        let targets = self.targets.read().unwrap_or_else(PoisonError::into_inner);
        chance.pick(&targets).copied()
    }

    /// Writes down what the answer promises: the ids of the messages.
    fn promised(&self, post: &Post, answer: &Answer) -> Result<Vec<String>> {
        let ids = ids_of(&answer.json());
        anyhow::ensure!(
            ids.len() == post.messages.len(),
            "{} answered {} with {} ids for {} messages: {}",
            post.path,
            answer.status,
            ids.len(),
            post.messages.len(),
            String::from_utf8_lossy(&answer.text)
        );
        let acks: Vec<Ack> = std::iter::zip(&ids, &post.messages)
            .map(|(id, (mark, may_duplicate))| Ack {
                at: Timestamp::now(),
                mark: mark.clone(),
                id: id.clone(),
                key: post.key.clone(),
                may_duplicate: *may_duplicate,
                status: answer.status,
            })
            .collect();
        self.journal.write(&acks)?;
        self.seen
            .acks
            .fetch_add(u64::try_from(acks.len()).unwrap_or_default(), Ordering::Relaxed);
        self.seen.accepted.fetch_add(1, Ordering::Relaxed);
        *self.seen.last_accept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(ids)
    }
}

/// The ids of an answer, in the order of the messages.
fn ids_of(answer: &Value) -> Vec<String> {
    let ids: Vec<&str> = match answer.get("messages").or_else(|| answer.get("data")).and_then(Value::as_array) {
        Some(items) => items.iter().filter_map(id_of).collect(),
        None => id_of(answer).into_iter().collect(),
    };
    ids.into_iter().map(str::to_owned).collect()
}

/// The id in a result, or in an item of a batch, which is a result or a bare id.
fn id_of(result: &Value) -> Option<&str> {
    result.as_str().or_else(|| result.get("message_id")?.as_str())
}
