//! Stopping: what is in hand is finished, nothing new is taken.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ums_server::{Error, Limits, Metrics, Server, ServerSettings};

use crate::client::Client;
use crate::setup::{EMAIL, Setup, start, until};

#[tokio::test]
async fn requests_in_hand_are_finished_and_idle_connections_closed() {
    let bench = start().await;
    bench.ses.hold();
    let mut idle = bench.connect().await;
    idle.write(bench.request("GET /livez", &[], "")).await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
    let mut busy = bench.connect().await;
    busy.write(bench.request("POST /v1/emails", &[("content-type", "application/json")], EMAIL))
        .await;
    until(|| bench.ses.running() == 1).await;

    bench.shutdown.cancel();
    assert!(idle.is_closed().await);
    bench.ses.release(1);
    let answer = busy.answer().await.expect("it is finished");
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("sent")));
    assert_eq!(answer.header("connection"), Some("close"));
    bench.running.await.unwrap();
    assert!(tokio::net::TcpStream::connect(bench.address).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn who_waits_too_long_gets_what_is_known() {
    let bench = Setup::with_limits(Limits {
        drain_time: Duration::from_millis(200),
        ..Limits::default()
    })
    .start()
    .await;
    bench.ses.hold();
    let mut client = bench.connect().await;
    client
        .write(bench.request("POST /v1/emails", &[("content-type", "application/json")], EMAIL))
        .await;
    until(|| bench.ses.running() == 1).await;
    bench.shutdown.cancel();
    let answer = client.answer().await.expect("an answer within the drain time");
    assert_eq!((answer.status, answer.json()["status"].as_str()), (202, Some("sending")));
    bench.running.await.unwrap();
}

#[tokio::test]
async fn a_closing_service_is_not_ready_and_stuck_clients_do_not_hold_it() {
    let limits = Limits {
        drain_time: Duration::from_millis(300),
        ..Limits::default()
    };
    let bench = Setup::with_limits(limits).start().await;
    let mut client = bench.connect().await;
    let (head, rest) = ("GET /readyz HTTP/1.1\r\nhost: local", "host\r\n\r\n");
    client.write(head).await;
    let stuck = bench.connect().await;
    // Both are accepted before the service is told to stop.
    loop {
        if bench.get("/metrics").await.body.contains("ums_http_connections 3") {
            break;
        }
    }
    bench.shutdown.cancel();
    if client.try_write(rest).await
        && let Some(answer) = client.answer().await
    {
        assert_eq!((answer.status, answer.code().as_str()), (503, "UMS5003"));
    }
    tokio::time::timeout(Duration::from_secs(5), bench.running)
        .await
        .expect("it stops")
        .unwrap();
    drop(stuck);
}

#[tokio::test]
async fn an_engine_that_is_closing_says_so() {
    let bench = start().await;
    bench.messaging.shutdown(Duration::from_secs(1)).await;
    let answer = bench.post("/v1/emails", &[], EMAIL).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UMS5003"));
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn a_service_that_anybody_could_use_does_not_start() {
    let bench = start().await;
    let bind = async |listen: &str, development| {
        let settings = ServerSettings {
            development,
            ..ServerSettings::new(listen.parse::<SocketAddr>().unwrap())
        };
        Server::bind(settings, bench.messaging.clone(), Arc::new(Metrics::new())).await
    };
    assert!(matches!(bind("127.0.0.1:0", false).await, Err(Error::NoApiKey)));
    assert!(matches!(bind("0.0.0.0:0", true).await, Err(Error::NoApiKey)));
    assert!(bind("127.0.0.1:0", true).await.is_ok());
    let taken = bind(&bench.address.to_string(), true).await;
    assert!(matches!(taken, Err(Error::Listen { .. })), "{taken:?}");
    drop(Client::connect(bench.address).await);
}
