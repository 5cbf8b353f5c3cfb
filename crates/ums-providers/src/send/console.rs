//! The console: prints the message instead of sending it. For development only.
//!
//! - **Accepted**: when the text was written; always marked as simulated.
//! - It writes to its own stream and never through tracing, so that codes stay out of logs.
//! - It writes in a thread of its own: a stream that nobody reads stops nothing else. A text that was not begun within
//!   [`PATIENCE`] is withdrawn (`Unavailable`); one that was begun may be read some day (`Unknown`).

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use ums_core::{Accepted, Call, Failure, FailureClass, Probe, Provider, ProviderKind, Sms, terminal};

/// How long a text may wait for the reader of the stream.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most texts that wait for it.
const WAITING: usize = 64;

/// Settings of the console.
#[derive(Default)]
pub struct ConsoleSettings {
    /// Where it prints; the standard output without one.
    pub output: Option<Box<dyn Write + Send>>,
}

impl fmt::Debug for ConsoleSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.output.is_some() {
            "ConsoleSettings(own stream)"
        } else {
            "ConsoleSettings(stdout)"
        })
    }
}

/// The console.
pub struct Console {
    printer: SyncSender<Page>,
}

/// A text on its way to the stream.
struct Page {
    text: String,
    /// Begun by the printer, or withdrawn by whoever waited for it; the first decides.
    is_decided: Arc<AtomicBool>,
    printed: oneshot::Sender<io::Result<()>>,
}

impl Console {
    /// Sets it up. Whether it may serve at all is decided where the chains are built.
    pub fn new(settings: ConsoleSettings) -> Self {
        let output = settings.output.unwrap_or_else(|| Box::new(io::stdout()));
        let (printer, pages) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("console".to_owned());
        // Without the thread, nothing is printed, and each call says so.
        drop(thread.spawn(move || print(&pages, output)));
        Self { printer }
    }
}

fn print(pages: &Receiver<Page>, mut output: Box<dyn Write + Send>) {
    for page in pages {
        if page.is_decided.swap(true, Ordering::AcqRel) {
            continue;
        }
        let written = output.write_all(page.text.as_bytes()).and_then(|()| output.flush());
        // Who asked may wait no longer.
        drop(page.printed.send(written));
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Console")
    }
}

#[async_trait]
impl Provider<Sms> for Console {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Console
    }

    fn is_local(&self) -> bool {
        true
    }

    async fn send(&self, sms: &Sms, call: &Call) -> Result<Accepted, Failure> {
        let (printed, is_printed) = oneshot::channel();
        let is_decided = Arc::new(AtomicBool::new(false));
        let page = Page {
            text: text_of(sms, call),
            is_decided: Arc::clone(&is_decided),
            printed,
        };
        self.printer.try_send(page).map_err(|refused| match refused {
            TrySendError::Full(_) => failure(FailureClass::Unavailable, "nobody reads the console"),
            TrySendError::Disconnected(_) => failure(FailureClass::Unavailable, "the console has no thread to print in"),
        })?;
        match tokio::time::timeout(PATIENCE, is_printed).await {
            Ok(Ok(Ok(()))) => Ok(Accepted {
                simulated: true,
                ..Accepted::new(format!("console-{}", call.attempt_id))
            }),
            Ok(Ok(Err(_)) | Err(_)) => Err(failure(FailureClass::Unavailable, "the console cannot be written to")),
            Err(_) if is_decided.swap(true, Ordering::AcqRel) => {
                Err(failure(FailureClass::Unknown, "the text was begun, and nobody reads the console"))
            }
            Err(_) => Err(failure(FailureClass::Unavailable, "nobody reads the console")),
        }
    }

    async fn probe(&self) -> Probe {
        Probe::Healthy
    }
}

fn failure(class: FailureClass, detail: &str) -> Failure {
    Failure::local(class, "output", detail)
}

/// The message as it is printed. Controls are shown, not obeyed: a text must not command a terminal.
fn text_of(sms: &Sms, call: &Call) -> String {
    let from = sms.from.as_ref().map_or("-", |sender| sender.expose());
    let mut text = format!(
        "--- text message (printed, not sent) ---\nid:   {}\nto:   {}\nfrom: {from}\n\n",
        call.message_id,
        sms.to.expose()
    );
    text.push_str(&terminal::shown(&sms.body));
    text.push_str("\n---\n");
    text
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;
    use crate::samples;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn it_prints_the_whole_message_and_says_that_it_is_simulated() {
        let page = Paper::default();
        let console = Console::new(ConsoleSettings {
            output: Some(Box::new(page.clone())),
        });
        let sms = samples::sms("+14165550123", None, "Your code is 123456\u{1b}[2J\nBye");
        let accepted = console.send(&sms, &samples::call()).await.unwrap();
        assert!(accepted.simulated && !accepted.provider_message_id.is_empty());
        let printed = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert!(
            printed.contains("to:   +14165550123") && printed.contains("Your code is 123456\\u{1b}[2J\nBye"),
            "{printed}"
        );
    }

    /// A stream whose reader is away: it says that a write began, and lets it through when told.
    struct Away {
        begun: mpsc::Sender<()>,
        goes_on: mpsc::Receiver<()>,
        page: Paper,
    }

    impl Write for Away {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.begun.send(()).unwrap();
            // Once nobody holds it back, it goes on.
            let _goes_on = self.goes_on.recv();
            self.page.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_nobody_reads_stops_nobody_and_what_was_not_begun_is_not_printed() {
        let (page, (begun, has_begun), (go, goes_on)) = (Paper::default(), mpsc::channel(), mpsc::channel());
        let output = Box::new(Away {
            begun,
            goes_on,
            page: page.clone(),
        });
        let console = Arc::new(Console::new(ConsoleSettings { output: Some(output) }));
        let send = |text: &'static str| {
            let console = Arc::clone(&console);
            tokio::spawn(async move { console.send(&samples::sms("+14165550123", None, text), &samples::call()).await })
        };
        let first = send("first");
        tokio::task::yield_now().await;
        has_begun.recv().unwrap();
        assert_eq!(first.await.unwrap().unwrap_err().class, FailureClass::Unknown);
        assert_eq!(send("second").await.unwrap().unwrap_err().class, FailureClass::Unavailable);
        drop(go);
        let mut third = send("third").await.unwrap();
        while third.is_err() {
            // The printer may be at the second one still.
            third = send("third").await.unwrap();
        }
        let printed = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert!(
            printed.contains("first") && printed.contains("third") && !printed.contains("second"),
            "{printed}"
        );
    }
}
