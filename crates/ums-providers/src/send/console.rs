//! The console: prints the message instead of sending it. For development only.
//!
//! - **Accepted**: when the text was written; always marked as simulated.
//! - It writes to its own stream and never through tracing, so that codes stay out of logs.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use ums_core::{Accepted, Call, Failure, FailureClass, Probe, Provider, ProviderKind, Sms};

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
    output: Mutex<Box<dyn Write + Send>>,
}

impl Console {
    /// Sets it up. Whether it may serve at all is decided where the chains are built.
    pub fn new(settings: ConsoleSettings) -> Self {
        let output = settings.output.unwrap_or_else(|| Box::new(io::stdout()));
        Self {
            output: Mutex::new(output),
        }
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
        let text = page(sms, call);
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
        written.map_err(|_| Failure::local(FailureClass::Unavailable, "output", "the console cannot be written to"))?;
        Ok(Accepted {
            simulated: true,
            ..Accepted::new(format!("console-{}", call.attempt_id))
        })
    }

    async fn probe(&self) -> Probe {
        Probe::Healthy
    }
}

/// The message as it is printed. Controls are shown, not obeyed: a text must not command a terminal.
fn page(sms: &Sms, call: &Call) -> String {
    let from = sms.from.as_ref().map_or("-", |sender| sender.expose());
    let mut text = format!(
        "--- text message (printed, not sent) ---\nid:   {}\nto:   {}\nfrom: {from}\n\n",
        call.message_id,
        sms.to.expose()
    );
    for character in sms.body.chars() {
        if character.is_control() && character != '\n' {
            text.extend(character.escape_unicode());
        } else {
            text.push(character);
        }
    }
    text.push_str("\n---\n");
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::samples;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn it_prints_the_whole_message_and_says_that_it_is_simulated() {
        let page = Page::default();
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
}
