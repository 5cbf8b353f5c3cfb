use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ums_core::SystemClock;

use super::*;
#[path = "../../tests/it/fault_server.rs"]
pub(crate) mod fault_server;
use fault_server::{Act, FaultServer, FullQueue, answer, closed_url};

fn transport() -> Arc<Transport> {
    let limits = TimeLimits {
        connect: ms(300),
        write_stall: ms(300),
        reply: ms(300),
    };
    Transport::new(
        TransportSettings {
            limits,
            ..TransportSettings::default()
        },
        Arc::new(SystemClock::new()),
    )
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

async fn post(transport: &Transport, url: &str, body: impl Into<Bytes>, time_left: Duration) -> Result<Reply, NoReply> {
    let origin = transport.origin(url).unwrap();
    let target = origin.target("/send").unwrap();
    transport
        .exchange(
            &origin,
            &Outgoing {
                method: Method::POST,
                target: &target,
                headers: &[],
                body: body.into(),
            },
            time_left,
        )
        .await
}

async fn outcome(act: Act) -> (Result<Reply, NoReply>, FaultServer) {
    let server = FaultServer::start(vec![act]).await;
    (post(&transport(), &server.url(), "hello", ms(5_000)).await, server)
}

fn no_reply(result: Result<Reply, NoReply>) -> NoReply {
    result.err().expect("there is no reply")
}

#[tokio::test]
async fn a_connection_carries_one_request_after_the_other() {
    let server = FaultServer::start(vec![Act::Answer(answer("200 OK", &["x-ums-simulator: 1"], "body"))]).await;
    let transport = transport();
    for _ in 0..5 {
        let reply = post(&transport, &server.url(), "hello", ms(5_000)).await.ok().unwrap();
        assert_eq!((reply.status, &*reply.body, reply.is_simulated()), (200, &b"body"[..], true));
    }
    assert_eq!((server.connections(), server.requests().len()), (1, 5));
    let request = &server.requests()[0];
    assert!(
        request.starts_with("POST /send HTTP/1.1\r\nhost: 127.0.0.1:") && request.ends_with("\r\n\r\nhello"),
        "{request}"
    );
}

#[tokio::test]
async fn what_never_left_is_not_sent() {
    let refused = no_reply(post(&transport(), &closed_url().await, "x", ms(5_000)).await);
    assert_eq!(refused, NoReply::unsent(Cause::Refused));
    let queue = FullQueue::new();
    assert_eq!(
        no_reply(post(&transport(), &queue.url(), "x", ms(5_000)).await),
        NoReply::unsent(Cause::ConnectTimeout)
    );
    assert_eq!(
        no_reply(post(&transport(), &queue.url(), "x", ms(50)).await),
        NoReply::unsent(Cause::Deadline)
    );
    let nowhere = no_reply(post(&transport(), "https://name.invalid", "x", ms(5_000)).await);
    assert!(
        !nowhere.sent && matches!(nowhere.cause, Cause::Dns | Cause::ConnectTimeout),
        "{nowhere:?}"
    );
}

#[tokio::test]
async fn a_handshake_that_fails_sent_nothing_of_the_request() {
    let server = FaultServer::start(vec![Act::AnswerAndClose(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())]).await;
    let url = server.url().replace("http:", "https:");
    let failed = no_reply(post(&transport(), &url, "x", ms(5_000)).await);
    assert!(
        !failed.sent && matches!(failed.cause, Cause::Tls | Cause::ConnectTimeout | Cause::NoRoots),
        "{failed:?}"
    );
}

#[tokio::test]
async fn what_was_handed_over_without_a_whole_answer_is_maybe_sent() {
    for (act, cause) in [
        (Act::ReadAndReset, Cause::Lost),
        (Act::Hang, Cause::ReplyTimeout),
        (Act::AnswerAndClose(Vec::new()), Cause::Lost),
        (
            Act::AnswerAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort".to_vec()),
            Cause::Lost,
        ),
        (
            Act::AnswerAndClose(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel".to_vec()),
            Cause::Lost,
        ),
        (Act::AnswerAndClose(b"\x00\x01garbage\r\n\r\n".to_vec()), Cause::Unreadable),
        (Act::Drip(answer("200 OK", &[], "slow"), ms(50)), Cause::ReplyTimeout),
        (Act::Flood(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), 1 << 31), Cause::TooLong),
        (
            Act::Flood(b"HTTP/1.1 200 OK\r\ncontent-length: 2147483648\r\n\r\n".to_vec(), 1 << 31),
            Cause::TooLong,
        ),
    ] {
        let started = Instant::now();
        let (result, server) = outcome(act.clone()).await;
        let failed = no_reply(result);
        assert_eq!(
            (failed.cause, failed.sent, failed.class()),
            (cause, true, FailureClass::Unknown),
            "{act:?}"
        );
        assert!(started.elapsed() < ms(5_000), "{act:?} took {:?}", started.elapsed());
        assert_eq!(server.requests().len(), 1, "{act:?}: never a second time");
    }
}

/// RFC 9110 §15.2 sets no bound on informational replies, and a peer that has always more to say keeps the task ready.
#[tokio::test]
async fn a_flood_before_the_answer_starves_no_timer() {
    let mut early_hints = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(8);
    early_hints.extend(answer("200 OK", &[], "body"));
    let (reply, _server) = outcome(Act::Answer(early_hints)).await;
    assert_eq!(reply.ok().unwrap().status, 200, "8 are read");

    let chunked = &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"[..];
    let nine = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(9);
    let lines = b"x: y\r\n".repeat(40_000);
    for flood in [
        [nine, answer("200 OK", &[], "body")].concat(),
        b"HTTP/1.1 100 Continue\r\n\r\n".repeat(200_000),
        [b"HTTP/1.1 200 OK\r\n".to_vec(), lines].concat(),
        [chunked, &b"1\r\nx\r\n".repeat(40_000)].concat(),
        [chunked, &b"0000".repeat(200_000)].concat(),
    ] {
        let started = Instant::now();
        let (result, _server) = outcome(Act::Flood(flood, 0)).await;
        let failed = no_reply(result);
        assert!(
            failed.sent && matches!(failed.cause, Cause::TooLong | Cause::Unreadable),
            "{failed:?}"
        );
        assert!(started.elapsed() < ms(2_000), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn an_answer_before_the_request_is_never_read_as_its_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut peer, &answer("200 OK", &[], "forged"))
        .await
        .unwrap();
    tcp.readable().await.unwrap();
    let connection = Connection::start(stream::Socket::Plain(crate::bounded_read::BoundedRead::new(tcp)))
        .await
        .unwrap();
    let target = Uri::from_static("/send");
    let request = Outgoing {
        method: Method::POST,
        target: &target,
        headers: &[],
        body: Bytes::from_static(b"hello"),
    };
    let (host, limits) = (HeaderValue::from_static("localhost"), TimeLimits::default());
    let run = connection.run(&host, &request, &limits, Instant::now() + ms(5_000), 1_000).await;
    assert!(run.is_err_and(|no_reply| !no_reply.sent));
}

#[tokio::test]
async fn a_long_refusal_is_understood_by_its_status() {
    let (result, _server) = outcome(Act::Flood(b"HTTP/1.1 401 Unauthorized\r\nx-code: 7\r\n\r\n".to_vec(), 1 << 24)).await;
    let reply = result.ok().unwrap();
    assert_eq!(
        (reply.status, reply.body.len(), reply.headers.contains_key("x-code")),
        (401, 0, true)
    );
}

#[tokio::test]
async fn a_server_that_stops_reading_is_given_up() {
    let server = FaultServer::start(vec![Act::Ignore]).await;
    let started = Instant::now();
    let failed = no_reply(post(&transport(), &server.url(), vec![b'x'; 64 << 20], ms(5_000)).await);
    assert_eq!((failed.cause, failed.sent), (Cause::WriteStalled, true));
    assert!(started.elapsed() < ms(5_000), "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_messages_own_time_bounds_the_call() {
    let server = FaultServer::start(vec![Act::Hang]).await;
    let failed = no_reply(post(&transport(), &server.url(), "x", ms(60)).await);
    assert_eq!((failed.cause, failed.sent), (Cause::Deadline, true));
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced_without_a_second_send() {
    let server = FaultServer::start(vec![Act::AnswerAndClose(answer("200 OK", &[], "body"))]).await;
    let transport = transport();
    for _ in 0..20 {
        assert!(post(&transport, &server.url(), "hello", ms(5_000)).await.is_ok());
    }
    assert_eq!((server.connections(), server.requests().len()), (20, 20));
}

#[tokio::test]
async fn a_reused_connection_that_dies_on_the_request_is_not_tried_again() {
    let server = FaultServer::start(vec![
        Act::Answer(answer("200 OK", &[], "")),
        Act::ReadAndReset,
        Act::Answer(answer("200 OK", &[], "")),
    ])
    .await;
    let transport = transport();
    assert!(post(&transport, &server.url(), "one", ms(5_000)).await.is_ok());
    let failed = no_reply(post(&transport, &server.url(), "two", ms(5_000)).await);
    assert_eq!((failed.sent, failed.reused), (true, true));
    assert_eq!(server.requests().len(), 2);
    assert!(post(&transport, &server.url(), "three", ms(5_000)).await.is_ok());
}

#[tokio::test]
async fn an_idle_connection_is_not_kept_for_ever() {
    let server = FaultServer::start(vec![Act::Answer(answer("200 OK", &[], ""))]).await;
    let settings = TransportSettings {
        idle_timeout: ms(1),
        ..TransportSettings::default()
    };
    let transport = Transport::new(settings, Arc::new(SystemClock::new()));
    for _ in 0..2 {
        assert!(post(&transport, &server.url(), "x", ms(5_000)).await.is_ok());
        // Sleeps because a real connection has to lie idle for longer than it is kept.
        tokio::time::sleep(ms(5)).await;
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_redirect_is_only_a_status() {
    let server = FaultServer::start(vec![Act::Answer(answer(
        "307 Temporary Redirect",
        &["location: http://127.0.0.1:1/"],
        "",
    ))])
    .await;
    assert_eq!(post(&transport(), &server.url(), "x", ms(5_000)).await.ok().unwrap().status, 307);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn plain_http_to_another_machine_is_refused() {
    assert!(matches!(transport().origin("http://api.example.com"), Err(BadOrigin::Plain)));
    assert!(transport().origin("https://api.example.com").is_ok());
}

/// A reset at any instant, on a fresh or a reused connection: the class is what the flag says, and the
/// flag never says "not sent" of what the server has read.
#[test]
fn resets_at_random_instants_have_the_class_of_the_flag() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 150,
        failure_persistence: None,
        ..Config::default()
    });
    let instants = (
        prop_oneof![Just(0_usize), 1..400_usize, 400..20_000_usize],
        any::<bool>(),
        0..60_000_usize,
    );
    let property = |(bytes, reused, size): (usize, bool, usize)| {
        runtime.block_on(async {
            let first = if reused {
                vec![Act::Answer(answer("200 OK", &[], ""))]
            } else {
                Vec::new()
            };
            let server = FaultServer::start([first, vec![Act::ResetAfter(bytes)]].concat()).await;
            let transport = transport();
            if reused {
                assert!(post(&transport, &server.url(), "first", ms(5_000)).await.is_ok());
            }
            let before = server.bytes_read();
            let result = post(&transport, &server.url(), vec![b'x'; size], ms(5_000)).await;
            let failed = no_reply(result);
            prop_assert_eq!(failed.class() == FailureClass::Unavailable, !failed.sent);
            prop_assert_eq!(failed.class() == FailureClass::Unknown, failed.sent);
            prop_assert!(
                failed.sent || server.bytes_read() == before,
                "the server read what was called not sent"
            );
            Ok(())
        })
    };
    runner.run(&instants, property).unwrap();
}

async fn through_proxy(acts: Vec<Act>) -> (Result<Reply, NoReply>, FaultServer) {
    let server = FaultServer::start(acts).await;
    let settings = TransportSettings {
        allow_plain_http: true,
        proxy: Some(Proxy::parse(&server.url()).unwrap()),
        ..TransportSettings::default()
    };
    let transport = Transport::new(settings, Arc::new(SystemClock::new()));
    (post(&transport, "http://api.example.com", "hello", ms(5_000)).await, server)
}

#[tokio::test]
async fn a_proxy_is_gone_through_only_where_one_is_set() {
    let established = Act::Answer(b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec());
    let (reply, server) = through_proxy(vec![established, Act::Answer(answer("200 OK", &[], "body"))]).await;
    assert_eq!(reply.ok().unwrap().body, "body");
    assert_eq!(server.connections(), 1, "the request goes through the tunnel");
}

#[tokio::test]
async fn a_proxy_that_refuses_means_that_nothing_was_sent() {
    for (status, class) in [
        ("403 Forbidden", FailureClass::Unavailable),
        ("407 Proxy Authentication Required", FailureClass::Misconfigured),
    ] {
        let (reply, _server) = through_proxy(vec![Act::Answer(answer(status, &[], ""))]).await;
        let no_reply = no_reply(reply);
        assert_eq!((no_reply.class(), no_reply.sent), (class, false), "{status}");
    }
}

/// A server that says on its first connection what nobody asked for, and answers requests on every connection. It is made of blocking
/// calls on a thread: the client's runtime does not run between its word and the next request, so it has not noticed anything.
struct Chatterer {
    url: String,
    requests: std::sync::mpsc::Receiver<usize>,
    speak: std::sync::mpsc::Sender<()>,
    spoken: std::sync::mpsc::Receiver<()>,
}

impl Chatterer {
    fn start(with_the_answer: bool, unasked: &'static [u8]) -> Self {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (told, requests) = std::sync::mpsc::channel();
        let (speak, cue) = std::sync::mpsc::channel();
        let (said, spoken) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                // Else the word waits in this kernel for an acknowledgement of the answer before it.
                stream.set_nodelay(true).unwrap();
                if stream.read(&mut [0; 1024]).unwrap() == 0 {
                    continue;
                }
                told.send(number).unwrap();
                let mut answer = answer("200 OK", &[], "body");
                if number == 0 && with_the_answer {
                    answer.extend_from_slice(unasked);
                }
                stream.write_all(&answer).unwrap();
                if number == 0 {
                    let mut first = stream.try_clone().unwrap();
                    let told = told.clone();
                    cue.recv().unwrap();
                    if !with_the_answer {
                        stream.write_all(unasked).unwrap();
                    }
                    said.send(()).unwrap();
                    std::thread::spawn(move || {
                        if first.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {
                            told.send(0).unwrap_or_default();
                        }
                    });
                }
                kept.push(stream);
            }
        });
        Self {
            url,
            requests,
            speak,
            spoken,
        }
    }
}

/// What came before the request is not its answer (RFC 9112 §9.2: a connection with unasked bytes is closed).
#[tokio::test]
async fn a_connection_on_which_something_was_said_unasked_carries_no_request() {
    for unasked in [
        &b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"[..],
        b"H",
        b"\r\n",
    ] {
        for with_the_answer in [false, true] {
            let server = Chatterer::start(with_the_answer, unasked);
            let transport = transport();
            let first = post(&transport, &server.url, "first", ms(5_000)).await.ok().unwrap();
            assert_eq!(first.status, 200);
            // Blocks this thread, and the runtime with it.
            server.speak.send(()).unwrap();
            server.spoken.recv().unwrap();
            let second = post(&transport, &server.url, "second", ms(5_000)).await;
            assert_eq!(second.ok().map(|reply| reply.status), Some(200), "{unasked:?} {with_the_answer}");
            assert_eq!(
                server.requests.try_iter().collect::<Vec<_>>(),
                [0, 1],
                "each request on a connection of its own"
            );
        }
    }
}
