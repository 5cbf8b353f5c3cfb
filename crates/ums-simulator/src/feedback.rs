//! What the providers report afterwards: signed, late, twice and out of order, as they do.
//!
//! ```text
//! world::record → compose (ses | sendgrid | twilio) → queue → post → <to>/hooks/{aws,sendgrid,twilio}
//!              ↘ logs: SNS has no webhook, its reports are read from CloudWatch Logs
//! ```
//!
//! Nothing is posted unless it was said where to, and never to another host. A post that fails is
//! repeated as its provider repeats it; the queue is bounded and ends with the simulator. No reply
//! waits for any of it, except under `before_reply`, whose purpose that is.

mod dsn;
mod keys;
pub(crate) mod later;
pub(crate) mod logs;
mod post;
mod queue;
mod sendgrid;
mod ses;
mod settings;
mod twilio;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hyper::Uri;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::dsn::report as dsn;
pub(crate) use self::keys::{CERTIFICATE, CERTIFICATE_URL, Keys, TOPIC_ARN};
use self::logs::Logs;
use self::post::Poster;
pub use self::queue::FeedbackStats;
use self::queue::{Due, Queue};
pub use self::settings::FeedbackSettings;
use crate::fault_board::lock;
use crate::recorder::Draft;
use crate::{Error, Mode, Provider};

/// After so long no further report is posted before a reply.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A report to be posted, before it is signed.
#[derive(Clone, Debug)]
pub(crate) enum Report {
    /// A notification of Amazon SNS; its body is signed at the first post and the same in every copy.
    Amazon(Arc<ses::Notification>),
    /// Events of SendGrid that go in one request.
    SendGrid(Vec<Arc<serde_json::Value>>),
    /// A status callback of Twilio.
    Twilio(Arc<twilio::Callback>),
}

impl Report {
    /// Counts the events in it.
    fn events(&self) -> u64 {
        match self {
            Self::SendGrid(events) => events.len() as u64,
            Self::Amazon(_) | Self::Twilio(_) => 1,
        }
    }
}

/// A request, ready to be sent.
#[derive(Debug)]
pub(crate) struct Request {
    uri: Uri,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

/// How a message ends, as its provider will report it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Delivered,
    Bounced,
    /// Nothing is ever said of it.
    Silent,
    /// The provider dropped it: the recipient is on its unsubscribe list.
    Dropped,
}

impl End {
    pub(crate) fn of(fault: Option<Mode>) -> Self {
        match fault {
            Some(Mode::Bounce) => Self::Bounced,
            Some(Mode::NeverDeliver) => Self::Silent,
            Some(Mode::Unsubscribed) => Self::Dropped,
            _ => Self::Delivered,
        }
    }
}

/// All that has to do with feedback.
#[derive(Debug)]
pub(crate) struct Feedback {
    pub(crate) keys: Keys,
    pub(crate) logs: Logs,
    settings: Mutex<FeedbackSettings>,
    /// Read with every message; spares the lock while nothing is to be posted.
    is_wanted: AtomicBool,
    poster: Poster,
    queue: Queue,
}

impl Feedback {
    /// Begins to post what falls due; it ends with `stop`.
    pub(crate) fn start(settings: FeedbackSettings, stop: &CancellationToken, tasks: &TaskTracker) -> Result<Arc<Self>, Error> {
        settings.check()?;
        let (sender, inbox) = mpsc::unbounded_channel();
        let feedback = Arc::new(Self {
            keys: Keys::make()?,
            logs: Logs::default(),
            is_wanted: AtomicBool::new(settings.to.is_some()),
            settings: Mutex::new(settings),
            poster: Poster::new(),
            queue: Queue::new(sender),
        });
        tasks.spawn(queue::run(Arc::clone(&feedback), inbox, stop.clone(), tasks.clone()));
        Ok(feedback)
    }

    pub(crate) fn settings(&self) -> FeedbackSettings {
        lock(&self.settings).clone()
    }

    pub(crate) fn set(&self, settings: FeedbackSettings) -> Result<(), Error> {
        settings.check()?;
        let mut current = lock(&self.settings);
        self.is_wanted.store(settings.to.is_some(), Ordering::Release);
        *current = settings;
        Ok(())
    }

    pub(crate) fn stats(&self) -> FeedbackStats {
        self.queue.stats()
    }

    /// Takes up what is to be reported of a message; returns what must be posted before its reply.
    pub(crate) fn accepted(&self, draft: &Draft) -> Vec<Report> {
        let is_text = draft.message.provider == Provider::Sns;
        if !is_text && !self.is_wanted.load(Ordering::Acquire) {
            return Vec::new();
        }
        let settings = self.settings();
        if is_text {
            self.logs.accepted(draft, &settings);
            return Vec::new();
        }
        let reports = self.compose(draft, &settings);
        if settings.before_reply {
            return settings.copies(reports);
        }
        for (report, delay) in settings.plan(reports) {
            self.queue.put(Due::after(delay, report));
        }
        Vec::new()
    }

    /// Tells what follows later of a message, once and at once; false if its provider has no such event.
    pub(crate) fn tell(&self, draft: &Draft, told: &later::Told) -> bool {
        let to = lock(&self.settings).to.clone();
        let report = to.and_then(|to| later::compose(draft, &to, told));
        let Some(report) = report else {
            return false;
        };
        self.queue.put(Due::at_once(report));
        true
    }

    fn compose(&self, draft: &Draft, settings: &FeedbackSettings) -> Vec<Report> {
        let Some(to) = &settings.to else {
            return Vec::new();
        };
        match draft.message.provider {
            Provider::Ses => ses::compose(&draft.message),
            Provider::SendGrid => sendgrid::compose(&draft.message),
            Provider::Twilio => {
                let reports = twilio::compose(draft, to);
                if reports.is_empty() {
                    self.queue.withheld();
                }
                reports
            }
            // The one is asked, the other answers by mail.
            Provider::Sns | Provider::Smtp => Vec::new(),
        }
    }

    /// Posts at once, each report once; what is not taken is repeated later, and so is what takes too long.
    pub(crate) async fn post_now(self: Arc<Self>, reports: Vec<Report>, stop: CancellationToken) {
        let begun = Instant::now();
        let posts = async {
            for report in reports {
                if begun.elapsed() > LONGEST_WAIT {
                    self.queue.put(Due::at_once(report));
                    continue;
                }
                self.queue.put_aside(&report);
                self.attempt(Due::at_once(report)).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = posts => {}
        }
    }

    /// Posts one report; what is not taken is put back as its provider would.
    async fn attempt(&self, due: Due) {
        let outcome = match self.request(&due.report) {
            Ok(request) => self.poster.post(request).await,
            Err(fault) => {
                tracing::warn!(%fault, "feedback could not be made");
                post::Outcome::Refused
            }
        };
        self.queue.ended(due, outcome);
    }

    fn request(&self, report: &Report) -> Result<Request, Error> {
        let to = lock(&self.settings).to.clone();
        let to = to.ok_or(Error::Setting("nowhere to post feedback to"))?;
        match report {
            Report::Amazon(notification) => notification.request(&to, &self.keys),
            Report::SendGrid(events) => sendgrid::request(&to, events, &self.keys),
            Report::Twilio(callback) => callback.request(&to),
        }
    }
}

/// The place below `to` where a provider's feedback is taken.
fn hook(to: &str, provider: &str) -> Result<Uri, Error> {
    let url = format!("{}/hooks/{provider}", to.trim_end_matches('/'));
    url.parse().map_err(|_| Error::Setting(settings::NO_URL))
}
