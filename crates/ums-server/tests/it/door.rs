//! The door: who makes room, who never does, how long and how often a connection serves, and who is slowed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use ums_core::AccountId;
use ums_server::{HookName, Hooks, Limits, TrustedProxies};

use crate::client::Client;
use crate::hooks::Believer;
use crate::setup::{Bench, EMAIL, KEY, Setup, until};

fn setup(limits: Limits) -> Setup {
    Setup {
        limits,
        key: true,
        ..Setup::default()
    }
}

async fn soon<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), wait).await.expect("in time")
}

/// Asks on that connection; none if it was closed instead.
async fn ask(bench: &Bench, client: &mut Client, line: &str) -> Option<u16> {
    client.try_write(bench.request(line, &[], "")).await;
    soon(client.answer()).await.map(|answer| answer.status)
}

/// Posts an e-mail whose call hangs; that request is in hand until the provider lets go.
async fn post_and_hang(bench: &Bench) -> Client {
    let running = bench.ses.running();
    let mut caller = bench.connect().await;
    let json = [("content-type", "application/json")];
    caller.write(bench.request("POST /v1/emails", &json, EMAIL)).await;
    until(|| bench.ses.running() == running + 1).await;
    caller
}

#[tokio::test]
async fn idle_and_dripping_strangers_make_room_and_requests_in_hand_do_not() {
    let mut hooks = Hooks::default();
    hooks.add(HookName::Aws, AccountId::default(), Arc::new(Believer));
    let limits = Limits {
        connections: 4,
        ..Limits::default()
    };
    let bench = Setup { hooks, ..setup(limits) }.start().await;
    bench.ses.hold();
    let mut callers = vec![post_and_hang(&bench).await];
    let mut drips = bench.connect().await;
    let head = "POST /hooks/aws HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx";
    drips.write(head).await;
    let mut half_head = bench.connect().await;
    half_head.write("GET /livez HTTP/1.1\r\nhost: x\r\nx-drip: ").await;
    let mut silent = bench.connect().await;

    for _ in 0..3 {
        callers.push(post_and_hang(&bench).await);
    }
    for turned_out in [&mut half_head, &mut silent, &mut drips] {
        assert!(soon(turned_out.is_closed()).await);
    }
    // Nobody is left who may go: another one waits.
    let mut waits = bench.connect().await;
    waits.write(bench.request("GET /metrics", &[], "")).await;
    let early = tokio::time::timeout(Duration::from_millis(200), waits.answer()).await;
    assert!(early.is_err(), "{early:?}");
    bench.ses.release(4);
    for caller in &mut callers {
        assert_eq!(soon(caller.answer()).await.expect("never cut").status, 200);
    }
    let counts = soon(waits.answer()).await.expect("its turn comes").body;
    assert!(counts.contains("ums_http_connections_turned_out_total{why=\"room\"} 4"), "{counts}");
}

#[tokio::test]
async fn a_stuck_reader_makes_room() {
    let bench = setup(Limits {
        connections: 1,
        ..Limits::default()
    })
    .start()
    .await;
    let mut stuck = bench.connect().await;
    let requests = bench.request("GET /docs", &[], "").replace(KEY, "none").repeat(1_000);
    let writing = async { while stuck.try_write(&requests).await {} };
    let asking = async {
        let mut next = bench.connect().await;
        ask(&bench, &mut next, "GET /livez").await
    };
    assert_eq!(tokio::join!(asking, soon(writing)).0, Some(200));
}

#[tokio::test]
async fn a_peer_has_its_share_and_a_named_proxy_more() {
    let limits = Limits {
        connections_per_peer: 2,
        ..Limits::default()
    };
    for (proxies, kept) in [("192.0.2.1/32", 2), ("127.0.0.0/8", 4)] {
        let proxies = TrustedProxies(vec![proxies.parse().expect("a network")]);
        let bench = Setup {
            proxies,
            ..setup(limits.clone())
        }
        .start()
        .await;
        let mut clients = Vec::new();
        for _ in 0..4 {
            let mut client = bench.connect().await;
            assert_eq!(ask(&bench, &mut client, "GET /livez").await, Some(200));
            clients.push(client);
        }
        let mut other = bench.connect_from([127, 0, 0, 2]).await;
        assert_eq!(ask(&bench, &mut other, "GET /livez").await, Some(200));
        let mut open = 0;
        for client in &mut clients {
            open += usize::from(ask(&bench, client, "GET /livez").await == Some(200));
        }
        assert_eq!(open, kept);
    }
}

#[tokio::test]
async fn a_peer_whose_requests_are_all_in_hand_is_told_to_come_again() {
    let bench = setup(Limits {
        connections_per_peer: 1,
        ..Limits::default()
    })
    .start()
    .await;
    bench.ses.hold();
    let mut caller = post_and_hang(&bench).await;
    let mut refused = bench.connect().await;
    let answer = soon(refused.answer()).await.expect("an answer");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(soon(refused.is_closed()).await);
    let mut other = bench.connect_from([127, 0, 0, 2]).await;
    assert_eq!(ask(&bench, &mut other, "GET /livez").await, Some(200));
    bench.ses.release(1);
    assert_eq!(soon(caller.answer()).await.expect("never cut").status, 200);
}

#[tokio::test]
async fn a_connection_has_a_count_and_a_life() {
    let bench = setup(Limits {
        connection_requests: 3,
        connection_life: Duration::from_millis(300),
        ..Limits::default()
    })
    .start()
    .await;
    let mut client = bench.connect().await;
    for number in 1..=3 {
        client.write(bench.request("GET /livez", &[], "")).await;
        let answer = soon(client.answer()).await.expect("an answer");
        assert_eq!(answer.header("connection"), (number == 3).then_some("close"));
    }
    assert!(soon(client.is_closed()).await);

    let mut idle = bench.connect().await;
    assert_eq!(ask(&bench, &mut idle, "GET /livez").await, Some(200));
    assert!(soon(idle.is_closed()).await, "its life is over");
    // A request that is in hand then is answered still.
    bench.ses.hold();
    let mut caller = post_and_hang(&bench).await;
    tokio::time::timeout(Duration::from_millis(500), caller.answer())
        .await
        .expect_err("it is in hand");
    bench.ses.release(1);
    let answer = soon(caller.answer()).await.expect("an answer");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
}

#[tokio::test]
async fn probes_are_answered_while_callers_hold_every_connection() {
    let bench = Setup {
        probes: true,
        ..setup(Limits {
            connections: 2,
            ..Limits::default()
        })
    }
    .start()
    .await;
    bench.ses.hold();
    let mut callers = [post_and_hang(&bench).await, post_and_hang(&bench).await];
    let mut waits = bench.connect().await;
    waits.write(bench.request("GET /v1/messages", &[], "")).await;
    let probe = bench.probe_address.expect("a listener of its own");
    for (path, status) in [
        ("/livez", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/v1/messages", 404),
        ("/", 404),
    ] {
        let mut client = Client::connect(probe).await;
        client.write(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert_eq!(soon(client.answer()).await.expect("an answer").status, status, "{path}");
    }
    bench.ses.release(2);
    for caller in &mut callers {
        assert_eq!(soon(caller.answer()).await.expect("never cut").status, 200);
    }
    assert_eq!(soon(waits.answer()).await.expect("its turn comes").status, 200);
}

/// How long it takes to be refused so often, with that header of an address each time.
async fn refusals(bench: &Bench, times: u8, header: &str) -> Duration {
    let start = Instant::now();
    let mut client = bench.connect().await;
    for number in 0..times {
        let header = header.replace('N', &number.to_string());
        let head = format!("GET /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer wrong\r\n{header}\r\n\r\n");
        client.write(head).await;
        assert_eq!(client.answer().await.expect("an answer").status, 401);
    }
    start.elapsed()
}

#[tokio::test]
async fn refusals_are_slowed_by_peer_and_only_a_named_proxy_says_who_that_is() {
    const SLOWED: Duration = Duration::from_millis(900);
    for (header, is_believed) in [
        ("x-forwarded-for: 198.51.100.N", true),
        ("forwarded: for=198.51.100.N;proto=https", true),
        ("forwarded: for=\"[2001:db8:N::1]:4711\"", true),
        ("x-forwarded-for: unknown", false),
    ] {
        let spoofed = setup(Limits::default()).start().await;
        assert!(refusals(&spoofed, 11, header).await >= SLOWED, "{header}");
        // The right key is asked nothing of that.
        let start = Instant::now();
        assert_eq!(spoofed.get("/v1/messages").await.status, 200);
        assert!(start.elapsed() < SLOWED, "{header}");

        let proxies = TrustedProxies(vec!["127.0.0.1/32".parse().expect("an address")]);
        let behind = Setup {
            proxies,
            ..setup(Limits::default())
        }
        .start()
        .await;
        assert_eq!(refusals(&behind, 11, header).await < SLOWED, is_believed, "{header}");
    }
}
