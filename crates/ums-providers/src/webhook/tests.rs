use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use ums_core::SystemClock;

use super::*;
use crate::http::tests::fault_server::{Act, FaultServer, answer, closed_url};

/// Names with their addresses, one list after the other, the last one again and again.
#[derive(Debug, Default)]
struct Names {
    lists: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Names {
    fn are(lists: &[&[&str]]) -> Arc<Self> {
        let read = |list: &&[&str]| list.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Self {
            lists: lists.iter().map(read).collect(),
            ..Self::default()
        })
    }
}

#[async_trait]
impl Resolve for Names {
    async fn addresses(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(self.lists[asked.min(self.lists.len() - 1)].clone())
    }
}

/// Plain HTTP is allowed, so that nothing but the address keeps a post back.
fn settings(allowed: &[(&str, u8)]) -> WebhookSettings {
    WebhookSettings {
        allow_http: true,
        allow_private: allowed.iter().map(|(first, length)| (first.parse().unwrap(), *length)).collect(),
        timeout: Duration::from_millis(500),
        roots: TrustedRoots::System,
    }
}

fn poster(settings: WebhookSettings, names: &Arc<Names>) -> WebhookPoster {
    WebhookPoster::with_resolver(settings, Arc::new(SystemClock::new()), names.clone())
}

fn call(url: &str) -> WebhookCall {
    WebhookCall {
        url: url.to_owned(),
        headers: vec![("content-type", "application/json".to_owned()), ("webhook-id", "1".to_owned())],
        body: "{\"type\":\"test.ping\"}".to_owned(),
    }
}

fn not_allowed(result: &Result<u16, WebhookFault>) -> bool {
    matches!(result, Err(WebhookFault::NotAllowed(_)))
}

const OK: &str = "200 OK";

#[tokio::test]
async fn no_spelling_of_a_closed_address_reaches_it() {
    let sink = FaultServer::start(vec![Act::Answer(answer(OK, &[], ""))]).await;
    let port = sink.url().rsplit(':').next().unwrap().to_owned();
    let names = Names::are(&[&["127.0.0.1"]]);
    let poster = poster(settings(&[]), &names);
    let hosts = [
        "127.0.0.1",
        "127.0.0.2",
        "127.1",
        "127.0.1",
        "0",
        "0.0.0.0",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "127.000.000.001",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fe80::1%25lo]",
        "[fd00::1]",
        "[ff02::1]",
        "10.0.0.1",
        "169.254.169.254",
        "[::ffff:a9fe:a9fe]",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "user@127.0.0.1",
        "user:pass@localhost",
        "example.com@127.0.0.1",
        "127.0.0.1%2f@example.com",
        "%6c%6fcalhost",
        "127%2e0%2e0%2e1",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "example.com\\@127.0.0.1",
    ];
    for host in hosts {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/hook");
            assert!(poster.check_url(&url).is_err(), "{url}");
            assert!(not_allowed(&poster.post(call(&url)).await), "{url}");
        }
    }
    assert_eq!(names.asked.load(Ordering::SeqCst), 0, "nothing was looked up");
    // Names that look like any other, and lead here.
    for name in [
        "hooks.example.com",
        "127.0.0.1.nip.example",
        "0x7f000001.example",
        "localhost.example.com",
        "metadata",
    ] {
        let url = format!("http://{name}:{port}/hook");
        assert_eq!(poster.check_url(&url), Ok(()), "a name alone says nothing");
        assert!(not_allowed(&poster.post(call(&url)).await), "{url}");
    }
    assert_eq!(names.asked.load(Ordering::SeqCst), 5);
    assert_eq!(sink.connections(), 0, "the sink on loopback saw nobody");
}

#[tokio::test]
async fn one_closed_address_among_open_ones_is_enough() {
    let sink = FaultServer::start(vec![Act::Answer(answer(OK, &[], ""))]).await;
    let port = sink.url().rsplit(':').next().unwrap().to_owned();
    for mixed in [
        &["127.0.0.1", "1.1.1.1"],
        &["1.1.1.1", "127.0.0.1"],
        &["2606:4700::1111", "::1"],
        &["1.1.1.1", "::ffff:127.0.0.1"],
    ] {
        let poster = poster(settings(&[]), &Names::are(&[mixed]));
        assert!(
            not_allowed(&poster.post(call(&format!("http://hooks.example.com:{port}/"))).await),
            "{mixed:?}"
        );
    }
    assert_eq!(sink.connections(), 0);
}

#[tokio::test]
async fn the_connection_goes_to_the_address_that_was_judged() {
    let good = FaultServer::start(vec![Act::Answer(answer(OK, &[], ""))]).await;
    let port = good.url().rsplit(':').next().unwrap().to_owned();
    // Another answer for whoever asks twice: this machine by another address, which is not allowed.
    let names = Names::are(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let poster = poster(settings(&[("127.0.0.1", 32)]), &names);
    let url = format!("http://hooks.example.com:{port}/hook?token=x");
    assert_eq!(poster.post(call(&url)).await, Ok(200));
    assert_eq!(
        (names.asked.load(Ordering::SeqCst), good.connections()),
        (1, 1),
        "one look-up for one post"
    );
    assert!(
        not_allowed(&poster.post(call(&url)).await),
        "each post is judged anew, on no old connection"
    );
    assert_eq!(good.connections(), 1);
    let request = good.requests()[0].to_lowercase();
    assert!(request.starts_with("post /hook?token=x http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: hooks.example.com:{port}\r\n")), "{request}");
    assert!(request.contains("user-agent: ums-webhooks/"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"type\":\"test.ping\"}"), "{request}");
}

#[tokio::test]
async fn redirects_are_told_and_not_followed() {
    let sink = FaultServer::start(vec![Act::Answer(answer(OK, &[], ""))]).await;
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let location = format!("location: {}/", sink.url());
        let server = FaultServer::start(vec![Act::Answer(answer(status, &[&location], ""))]).await;
        let poster = poster(settings(&[("127.0.0.0", 8)]), &Names::are(&[&["127.0.0.1"]]));
        assert_eq!(poster.post(call(&server.url())).await, Ok(status[..3].parse().unwrap()));
    }
    assert_eq!(sink.connections(), 0);
}

#[tokio::test]
async fn receivers_that_fail_are_named_by_a_word_and_cannot_hold_us() {
    let open = settings(&[("127.0.0.0", 8)]);
    let names = Names::are(&[&["127.0.0.1"]]);
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 2147483648\r\n\r\n".to_vec();
    for (act, expected) in [
        (Act::Hang, Err("timeout")),
        (Act::AnswerAndClose(Vec::new()), Err("connection_lost")),
        (Act::AnswerAndClose(b"garbage\r\n\r\n".to_vec()), Err("unreadable_reply")),
        (Act::Answer(answer("500 Internal Server Error", &[], "trace")), Ok(500)),
        // What it says beside its status is not read to the end.
        (Act::Flood(head, 1 << 31), Ok(200)),
        (Act::Flood(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), 0), Ok(204)),
    ] {
        let what = format!("{act:?}");
        let server = FaultServer::start(vec![act]).await;
        let posted = poster(open.clone(), &names).post(call(&server.url())).await;
        let expected = expected.map_err(|word| WebhookFault::NoAnswer(word.to_owned()));
        let timed_out = posted == Err(WebhookFault::NoAnswer("reply_timeout".to_owned()))
            || posted == Err(WebhookFault::NoAnswer("deadline".to_owned()));
        assert!(posted == expected || (what == "Hang" && timed_out), "{what}: {posted:?}");
    }
    let closed = closed_url().await;
    assert_eq!(
        poster(open.clone(), &names).post(call(&closed)).await,
        Err(WebhookFault::NoAnswer("refused".to_owned()))
    );
    let nobody = poster(open, &Names::are(&[&[]]));
    assert_eq!(
        nobody.post(call("http://nobody.example.com")).await,
        Err(WebhookFault::NoAnswer("dns".to_owned()))
    );
}

#[tokio::test]
async fn plain_http_has_to_be_allowed() {
    let server = FaultServer::start(vec![Act::Answer(answer(OK, &[], ""))]).await;
    let strict = WebhookSettings {
        allow_http: false,
        ..settings(&[(&Ipv4Addr::LOCALHOST.to_string(), 32)])
    };
    let poster = poster(strict, &Names::are(&[&["127.0.0.1"]]));
    assert_eq!(poster.check_url(&server.url()), Err("must be https".to_owned()));
    assert!(not_allowed(&poster.post(call(&server.url())).await));
    assert_eq!(server.connections(), 0);
    assert_eq!(poster.check_url("https://hooks.example.com/x"), Ok(()));
}
