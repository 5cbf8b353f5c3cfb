//! Where a request begins and ends: pipelining, two lengths, sizes.

use std::time::Duration;

use ums_delivery::COPIES_TO_ACCEPT;
use ums_server::Limits;

use crate::client::Client;
use crate::setup::{Bench, EMAIL, SMS, Setup, start, until};

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let bench = start().await;
    let mut client = bench.connect().await;
    let json = [("content-type", "application/json")];
    let requests = [
        bench.request("GET /livez", &[], ""),
        bench.request("POST /v1/sms", &json, SMS),
        bench.request("GET /nowhere", &[], ""),
        bench.request("POST /v1/emails", &json, EMAIL),
        bench.request("GET /readyz", &[], ""),
    ];
    client.write(requests.concat()).await;
    for status in [200, 200, 404, 200, 200] {
        assert_eq!(client.answer().await.expect("an answer").status, status);
    }
    assert_eq!((bench.ses.calls(), bench.twilio.calls()), (1, 1));
}

#[tokio::test]
async fn a_request_of_two_lengths_is_refused_with_all_behind_it() {
    let bench = start().await;
    let hidden = bench.request("POST /v1/sms", &[("content-type", "application/json")], SMS);
    let head = "POST /v1/emails HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let length = hidden.len() + 5;
    for lengths in [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n\r\n0\r\n\r\n{hidden}"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{hidden}"),
    ] {
        let mut client = bench.connect().await;
        client.write(format!("{head}{lengths}")).await;
        let answer = client.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (400, "UMS1009"));
        assert!(client.is_closed().await);
    }
    for lengths in [
        format!("content-length: 5\r\ncontent-length: 6\r\n\r\n12345{hidden}"),
        format!("content-length: +5\r\n\r\n12345{hidden}"),
        format!("transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}"),
        format!("transfer-encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"),
    ] {
        let mut client = bench.connect().await;
        client.write(format!("{head}{lengths}")).await;
        assert_eq!(client.answer().await.expect("an answer").status, 400, "{lengths}");
        assert!(client.is_closed().await);
    }
    assert_eq!((bench.ses.calls(), bench.twilio.calls()), (0, 0));
}

#[tokio::test]
async fn a_chunked_request_is_taken_and_ends_the_connection() {
    let bench = start().await;
    let mut client = bench.connect().await;
    let (first, second) = EMAIL.split_at(20);
    let head = "POST /v1/emails HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks = format!(
        "{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\nx-trailer: 1\r\n\r\n",
        first.len(),
        second.len()
    );
    client.write(format!("{head}{chunks}")).await;
    let answer = client.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{answer:?}");
    assert!(client.is_closed().await);

    let mut client = bench.connect().await;
    client.write(format!("{head}5\r\n{{\"to\"\r\nxyz\r\n")).await;
    let answer = client.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (400, "UMS1006"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let bench = start().await;
    for (head, status) in [
        (
            format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx-a: {}\r\n\r\n", "x".repeat(17 << 10)),
            431,
        ),
        (
            format!("GET /livez HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x-a: b\r\n".repeat(200)),
            431,
        ),
        (
            format!(
                "GET /livez HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}",
                "x".repeat(1 << 20)
            ),
            431,
        ),
    ] {
        let mut client = bench.connect().await;
        client.try_write(head).await;
        let answer = client.answer().await.expect("an answer");
        assert_eq!(answer.status, status);
        assert!(client.is_closed().await);
    }
    let fine = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx-a: {}\r\n\r\n", "x".repeat(15 << 10));
    let mut client = bench.connect().await;
    client.write(fine).await;
    assert_eq!(client.answer().await.expect("an answer").status, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_413() {
    let bench = Setup::with_limits(Limits {
        email_body_bytes: 1 << 20,
        ..Limits::default()
    })
    .start()
    .await;
    for (path, bytes) in [("/v1/emails", 2 << 20), ("/v1/emails", 20 << 20), ("/v1/sms", 300 << 10)] {
        let body = "x".repeat(bytes);
        let answer = bench.post(path, &[], &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "UMS1004"));
        assert_eq!(answer.header("connection"), Some("close"));
    }
    let mut client = bench.connect().await;
    let chunk = format!("{:x}\r\n{}\r\n", 512 << 10, "x".repeat(512 << 10));
    let head = "POST /v1/emails HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    client.write(format!("{head}{}0\r\n\r\n", chunk.repeat(3))).await;
    assert_eq!(client.answer().await.expect("an answer").code(), "UMS1004");
}

#[tokio::test]
async fn an_expected_body_that_is_too_large_is_never_asked_for() {
    let bench = start().await;
    let mut client = bench.connect().await;
    let head = "POST /v1/sms HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n";
    client.write(format!("{head}content-length: 9000000\r\n\r\n")).await;
    let answer = client.answer().await.expect("an answer");
    assert_eq!(answer.status, 413, "{answer:?}");
}

#[tokio::test]
async fn all_bodies_together_have_a_cap() {
    let mut setup = Setup::with_limits(Limits {
        memory_time: Duration::from_millis(10),
        ..Limits::default()
    });
    setup.rules.memory_bytes = 1 << 20;
    let bench = setup.start().await;
    let large = "x".repeat(100 << 10);
    let others = bench.messaging.memory().share(1 << 20, 1).await;
    let answer = bench.post("/v1/emails", &[], &large).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UMS5002"));
    assert!(answer.header("retry-after").is_some());
    let mut client = bench.connect().await;
    let head = "POST /v1/emails HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    client.write(format!("{head}{:x}\r\n{large}\r\n0\r\n\r\n", large.len())).await;
    assert_eq!(client.answer().await.expect("an answer").code(), "UMS5002", "of unknown length");
    assert_eq!(bench.post("/v1/sms", &[], SMS).await.status, 200, "small ones need none");
    drop(others);
    assert_eq!(bench.post("/v1/emails", &[], &large).await.code(), "UMS1001", "it was read");
    assert_eq!(bench.messaging.memory().in_hand(), 0, "the memory was given back");
    let above = bench.post("/v1/emails", &[], &"x".repeat(2 << 20)).await;
    assert_eq!((above.status, above.code().as_str()), (413, "UMS1004"), "no room would ever do");
}

#[tokio::test]
async fn a_body_of_known_length_has_its_memory_before_it_is_read() {
    let bench = start().await;
    let memory = bench.messaging.memory();
    let mut client = bench.connect().await;
    let head = "POST /v1/emails HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n";
    client.write(head).await;
    until(|| memory.in_hand() >= 100_000 * COPIES_TO_ACCEPT).await;
    drop(client);
    until(|| memory.in_hand() == 0).await;
}

#[tokio::test]
async fn odd_protocols_are_refused() {
    let bench = start().await;
    for bytes in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01",
        "GET / HTTP/1.1\r\nbad header\r\n\r\n",
    ] {
        let mut client = bench.connect().await;
        client.write(bytes).await;
        if let Some(answer) = client.answer().await {
            assert!((400..506).contains(&answer.status), "{answer:?}");
        }
        assert!(client.is_closed().await, "{bytes:?}");
    }
}

/// A head, and the status that it gets. Whatever is refused is refused before anything is done.
#[tokio::test]
async fn a_request_names_one_host() {
    let bench = start().await;
    for (head, status) in [
        ("GET /livez HTTP/1.1\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost:\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: user@a\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: a:b\r\n\r\n", 400),
        ("GET http://localhost/livez HTTP/1.1\r\n\r\n", 400),
        ("GET http://localhost/livez HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400),
        ("GET /livez HTTP/1.0\r\nhost: a\r\nhost: a\r\n\r\n", 400),
        ("GET /livez HTTP/1.0\r\nhost:\r\n\r\n", 400),
        ("GET /livez HTTP/1.0\r\n\r\n", 200),
        ("GET /livez HTTP/1.0\r\nhost: a\r\n\r\n", 200),
        ("GET /livez HTTP/1.1\r\nhost: ums.example.com:8080\r\n\r\n", 200),
        ("GET /livez HTTP/1.1\r\nhost: [::1]:8080\r\n\r\n", 200),
        ("GET http://localhost/livez HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        // Without a key, neither Host nor the target may name another machine.
        ("GET http://evil.example/v1/messages HTTP/1.1\r\nhost: localhost\r\n\r\n", 403),
        ("GET http://localhost/v1/messages HTTP/1.1\r\nhost: evil.example\r\n\r\n", 403),
        ("GET http://localhost/v1/messages HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
    ] {
        answers(&bench, head, status).await;
    }
}

#[tokio::test]
async fn a_request_gives_its_length_in_one_way() {
    let bench = start().await;
    let post = "content-type: application/json\r\n";
    let hidden = format!(
        "POST /v1/sms HTTP/1.1\r\nhost: localhost\r\n{post}content-length: {}\r\n\r\n{SMS}",
        SMS.len()
    );
    for (head, status) in [
        (
            format!("POST /v1/sms HTTP/1.0\r\nhost: localhost\r\n{post}transfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
            400,
        ),
        (
            format!("POST /v1/sms HTTP/1.1\r\nhost: localhost\r\n{post}transfer-encoding: gzip\r\n\r\n{hidden}"),
            400,
        ),
        (
            format!("POST /v1/sms HTTP/1.1\r\nhost: localhost\r\n{post}transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n{hidden}"),
            400,
        ),
        (
            format!(
                "POST /v1/sms HTTP/1.1\r\nhost: localhost\r\n{post}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
            ),
            400,
        ),
        (
            format!(
                "POST /v1/sms HTTP/1.1\r\nhost: localhost\r\n{post}transfer-encoding:{}chunked\r\n\r\n0\r\n\r\n{hidden}",
                " ".repeat(300)
            ),
            400,
        ),
        (
            format!("GET /livez HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: identity\r\n\r\n{hidden}"),
            400,
        ),
        // A length whose digits do not fit into what is kept of a line: what follows must not be taken for its body.
        (
            format!(
                "POST /livez HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}{}\r\n\r\n{hidden}",
                "0".repeat(236),
                hidden.len()
            ),
            400,
        ),
    ] {
        assert!(answers(&bench, &head, status).await.is_closed().await, "{head}");
    }
    assert_eq!((bench.ses.calls(), bench.twilio.calls()), (0, 0));
}

/// Says a head on a connection of its own, and checks the status of the answer.
async fn answers(bench: &Bench, head: &str, status: u16) -> Client {
    let mut client = bench.connect().await;
    client.write(head).await;
    let answer = client.answer().await.unwrap_or_else(|| panic!("no answer to {head}"));
    assert_eq!(answer.status, status, "{head}\n{answer:?}");
    client
}
