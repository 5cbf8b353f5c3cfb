//! What reads strangers' bytes, for the fuzzer: each function reads as the service does, and asserts what holds of every input.
//!
//! The unit tests play the fuzzer's seeds, so that a target that no longer fits is noticed in every test run.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use ums_core::{AccountId, Event, FailureClass, HookRequest, ProviderKind, SystemClock, Timestamp};

use crate::feedback::{aws, sendgrid, smtp, twilio};
use crate::http::{NoReply, Origin, Outgoing, Reply, Transport, TransportSettings};
use crate::registry::classify;
use crate::send::smtp::{classify_reply, tidied};
use crate::verdict::Stage;

/// The clock of the fuzzed service.
const NOW: Timestamp = Timestamp::from_micros(1_795_341_600_000_000);
/// Longest reply that the fuzzed transport reads.
const MAX_REPLY_BYTES: usize = 4 * 1024;
/// Time for a reply, on a clock that stands still while bytes come.
const REPLY_TIME: Duration = Duration::from_mins(1);
/// What the fuzzed server is asked.
const REQUEST: &[u8] = b"hello";

/// A mail in the bounce mailbox.
pub fn bounce(bytes: &[u8]) {
    let Ok(events) = smtp::read(bytes, NOW) else { return };
    assert!(!events.is_empty(), "no event, and no word why");
    for event in &events {
        check_event(event);
        let is_ours = event.about.attempt_id.is_some();
        assert!(
            event.suppress.is_none() || is_ours,
            "a report without an attempt of ours bars an address"
        );
    }
    assert_eq!(smtp::read(bytes, NOW).as_ref(), Ok(&events), "the same mail gives the same events");
}

/// Twilio's callback: a form, or JSON.
pub fn twilio(bytes: &[u8]) {
    let mut request = posted(bytes);
    for content_type in ["application/x-www-form-urlencoded", "application/json"] {
        request.headers = vec![("content-type".to_owned(), content_type.to_owned())];
        let events = twilio::read_unverified(&request, "https://messages.example.com/hooks/twilio");
        check_all(bytes, &events.unwrap_or_default());
    }
}

/// What SNS posts: an envelope, or what stands in one.
pub fn aws(bytes: &[u8]) {
    let (verdict, events) = aws::check(bytes, Some(b"no certificate"), NOW);
    assert!(verdict.is_none_or(|verdict| verdict.is_err()), "believed without a certificate");
    check_all(bytes, &events);
}

/// `SendGrid`'s events.
pub fn sendgrid(bytes: &[u8]) {
    check_all(bytes, &sendgrid::read_events(bytes).unwrap_or_default());
}

/// A reply of an SMTP server: the first byte names the stage and the size of the pieces in which the rest comes.
pub fn smtp_reply(bytes: &[u8]) {
    let Some((first, raw)) = bytes.split_first() else { return };
    let whole = tidied(&[raw]);
    let pieces: Vec<&[u8]> = raw.chunks(usize::from(first / 8) + 1).collect();
    assert_eq!(tidied(&pieces), whole, "a reply reads the same in pieces");
    assert!(whole.len() <= raw.len() * 3, "tidying makes a reply longer than three times");
    assert!(
        whole.bytes().all(|byte| matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~')),
        "not printable"
    );

    let stage = Stage::ALL[usize::from(first % 8)];
    let Some(failure) = classify_reply(stage, &whole) else { return };
    assert!(failure.detail.len() <= 500 && !failure.code.is_empty(), "{failure:?}");
    if failure.class == FailureClass::InvalidRecipient {
        assert_eq!(stage, Stage::Rcpt, "only a reply to RCPT is about one recipient");
        assert!(failure.code.starts_with('5'), "condemned by {}", failure.code);
    }
}

/// The answer of a provider over HTTP, byte by byte as it comes on a connection.
pub fn http_reply(bytes: &[u8]) {
    thread_local! {
        static PEER: Option<Peer> = Peer::listen();
    }
    match PEER.with(|peer| peer.as_ref()?.exchange(bytes)) {
        None => {}
        Some(Ok(reply)) => {
            assert!(reply.body.len() <= MAX_REPLY_BYTES, "a body of {} bytes", reply.body.len());
            check_meaning(&reply);
        }
        Some(Err(no_reply)) => assert_eq!(no_reply.class(), FailureClass::Unknown, "{no_reply:?}: the request was read"),
    }
}

/// A provider's server and who calls it, kept from input to input. A connection serves one input.
struct Peer {
    runtime: Runtime,
    listener: TcpListener,
    transport: Arc<Transport>,
    origin: Arc<Origin>,
}

impl Peer {
    /// Begins to listen; none when this machine has no socket left.
    fn listen() -> Option<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .ok()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).ok()?;
        let settings = TransportSettings {
            max_reply_bytes: MAX_REPLY_BYTES,
            max_idle: 0,
            ..TransportSettings::default()
        };
        let transport = Transport::new(settings, Arc::new(SystemClock::new()));
        let origin = transport.origin(&format!("http://{}", listener.local_addr().ok()?)).ok()?;
        Some(Self {
            runtime,
            listener,
            transport,
            origin,
        })
    }

    /// Posts to the server, which answers with `bytes`; none when a fault of this machine kept it from reading the request.
    fn exchange(&self, bytes: &[u8]) -> Option<Result<Reply, NoReply>> {
        let target = self.origin.target("/send").ok()?;
        let request = Outgoing {
            method: Method::POST,
            target: &target,
            headers: &[],
            body: Bytes::from_static(REQUEST),
        };
        let call = self.transport.exchange(&self.origin, &request, REPLY_TIME);
        let (answered, served) = self.runtime.block_on(async {
            // A call that did not come to a connection leaves the server waiting.
            tokio::join!(call, tokio::time::timeout(2 * REPLY_TIME, self.serve(bytes)))
        });
        let is_served = matches!(served, Ok(Some(_)));
        (is_served || answered.is_ok()).then_some(answered)
    }

    /// Reads one request and answers it. The connection is given back, so that its end is no part of the answer.
    async fn serve(&self, bytes: &[u8]) -> Option<TcpStream> {
        let (mut stream, _) = self.listener.accept().await.ok()?;
        let mut read = Vec::new();
        while !read.ends_with(REQUEST) {
            stream.read_buf(&mut read).await.ok().filter(|count| *count > 0)?;
        }
        stream.write_all(bytes).await.ok()?;
        stream.shutdown().await.ok()?;
        Some(stream)
    }
}

/// Whatever stands in an answer of success, the message may have been taken.
fn check_meaning(reply: &Reply) {
    let headers: Vec<(String, String)> = reply
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    for kind in [
        ProviderKind::AwsSes,
        ProviderKind::SendGrid,
        ProviderKind::AwsSns,
        ProviderKind::Twilio,
    ] {
        let failure = classify(kind, reply.status, &headers, None, &reply.body, NOW);
        let Some(failure) = failure else {
            assert!((200..300).contains(&reply.status), "{kind} accepted by {}", reply.status);
            continue;
        };
        assert!(failure.detail.len() <= 500, "{kind}: {failure:?}");
    }
}

fn posted(bytes: &[u8]) -> HookRequest {
    HookRequest {
        account: AccountId::default(),
        path_and_query: String::new(),
        headers: Vec::new(),
        body: bytes.to_vec(),
        received_at: NOW,
    }
}

fn check_all(bytes: &[u8], events: &[Event]) {
    assert!(events.len() <= bytes.len(), "{} events in {} bytes", events.len(), bytes.len());
    events.iter().for_each(check_event);
}

/// What stores and people rely on.
fn check_event(event: &Event) {
    assert!((1..=255).contains(&event.id.len()), "an id of {} bytes", event.id.len());
    assert!(event.word.len() <= 320, "a word of {} bytes", event.word.len());
    assert!(event.raw.as_ref().is_none_or(|raw| raw.len() <= 4_096), "a long raw event");
    assert!(event.detail.as_ref().is_none_or(|detail| detail.len() <= 600), "a long detail");
    assert!(event.code.as_ref().is_none_or(|code| code.len() <= 100), "a long code");
    if let Some(recipient) = &event.recipient {
        assert!(
            !recipient.is_empty() && recipient.len() <= 320,
            "a recipient of {} bytes",
            recipient.len()
        );
        assert!(!recipient.chars().any(char::is_control), "a recipient with a control character");
        let shown = format!("{event:?}");
        assert!(
            !(recipient.contains('@') && recipient.len() >= 6 && shown.contains(recipient)),
            "a recipient is shown"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn play(folder: &str, extension: &str, read: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut seeds = 0;
        for seed in std::fs::read_dir(folder).unwrap() {
            let path = seed.unwrap().path();
            if extension.is_empty() || path.extension().is_some_and(|found| found == extension) {
                read(&std::fs::read(path).unwrap());
                seeds += 1;
            }
        }
        assert!(seeds > 0, "no seeds");
    }

    #[test]
    fn the_seeds_of_each_target_are_read() {
        play("tests/fixtures/bounces", "eml", bounce);
        play("tests/fixtures/aws", "json", aws);
        play("../../fuzz/seeds/aws", "", aws);
        play("../../fuzz/seeds/twilio", "", twilio);
        play("../../fuzz/seeds/sendgrid", "", sendgrid);
        play("../../fuzz/seeds/http_reply", "", http_reply);
        for reply in include_str!("../tests/fixtures/smtp/replies.txt").lines() {
            smtp_reply(reply.replace("\\n", "\r\n").as_bytes());
        }
    }
}
