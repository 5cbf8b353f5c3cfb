//! Clients that do not go on: nothing, half a head, a dripping body, an answer that is not taken.

use std::time::Duration;

use ums_server::Limits;

use crate::client::Client;
use crate::setup::{EMAIL, SMS, Setup, impatient, start, until};

const HEAD: &str = "POST /v1/emails HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";

/// The time within which a service with small limits must have closed.
async fn soon<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), wait).await.expect("in time")
}

#[tokio::test]
async fn a_client_that_sends_nothing_or_half_a_head_is_closed() {
    let bench = Setup::with_limits(impatient()).start().await;
    for bytes in ["", "G", "GET /livez HTTP/1.1\r\nhost: loc", HEAD] {
        let mut client = bench.connect().await;
        client.write(bytes).await;
        assert!(soon(client.is_closed()).await, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_head_that_drips_is_closed_in_its_whole_time() {
    let bench = Setup::with_limits(impatient()).start().await;
    let mut client = bench.connect().await;
    let dripping = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while client.try_write("x-a: b\r\n").await {
            ticks.tick().await;
        }
    };
    soon(dripping).await;
}

#[tokio::test]
async fn a_body_that_drips_is_answered_408_and_closed() {
    let bench = Setup::with_limits(impatient()).start().await;
    for begin in ["content-length: 1000000\r\n\r\n", "transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"] {
        let mut client = bench.connect().await;
        client.write(format!("{HEAD}{begin}")).await;
        let answer = soon(client.answer()).await.expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (408, "UMS1005"));
        assert!(soon(client.is_closed()).await);
    }
    assert_eq!(bench.ses.calls(), 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_an_active_one_is_kept() {
    let limits = Limits {
        idle_time: Duration::from_secs(1),
        ..impatient()
    };
    let bench = Setup::with_limits(limits).start().await;
    let mut client = bench.connect().await;
    let mut ticks = tokio::time::interval(Duration::from_millis(150));
    for _ in 0..5 {
        // Together longer than the time of one head, apart shorter than the idle time.
        ticks.tick().await;
        client.write(bench.request("GET /livez", &[], "")).await;
        assert_eq!(soon(client.answer()).await.expect("kept").status, 200);
    }
    assert!(soon(client.is_closed()).await);
}

#[tokio::test]
async fn work_takes_the_time_that_it_takes() {
    let bench = Setup::with_limits(impatient()).start().await;
    bench.ses.hold();
    let mut client = bench.connect().await;
    client
        .write(bench.request("POST /v1/emails", &[("content-type", "application/json")], EMAIL))
        .await;
    until(|| bench.ses.running() == 1).await;
    // Three times as long as any time for reading.
    let mut ticks = tokio::time::interval(Duration::from_millis(300));
    ticks.tick().await;
    ticks.tick().await;
    bench.ses.release(1);
    assert_eq!(soon(client.answer()).await.expect("not closed").status, 200);
}

#[tokio::test]
async fn an_answer_that_is_not_taken_ends_the_connection() {
    let bench = Setup::with_limits(Limits {
        idle_time: Duration::from_mins(1),
        ..impatient()
    })
    .start()
    .await;
    let mut client = bench.connect().await;
    let requests = bench.request("GET /docs", &[], "").repeat(1_000);
    // The service stops reading when its answers are not taken, and then gives up.
    soon(async { while client.try_write(&requests).await {} }).await;
}

/// Both ends of each connection are files of this process: more than many shells allow, so the
/// test runs in a process of its own with its limit raised.
#[test]
fn five_hundred_stuck_clients_are_in_nobodys_way() {
    let this = std::env::current_exe().expect("the test's own path");
    let run = "ulimit -n 4096 && exec \"$0\" --exact --ignored slow::with_five_hundred_stuck_clients";
    let done = std::process::Command::new("sh")
        .args(["-c", run])
        .arg(this)
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by five_hundred_stuck_clients_are_in_nobodys_way, with more files allowed"]
async fn with_five_hundred_stuck_clients() {
    let bench = start().await;
    let mut stuck = Vec::new();
    for number in 0..500 {
        let mut client = bench.connect().await;
        let bytes = [
            "",
            "GET /livez HT",
            "POST /v1/emails HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{",
        ][number % 3];
        client.write(bytes).await;
        stuck.push(client);
    }
    let mut times = Vec::new();
    for _ in 0..100 {
        let begun = tokio::time::Instant::now();
        assert_eq!(bench.post("/v1/sms", &[], SMS).await.status, 200);
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    assert!(times[98] < Duration::from_millis(200), "{times:?}");
    drop(stuck);
}

#[tokio::test]
async fn above_the_cap_connections_wait_and_then_get_their_turn() {
    let bench = Setup::with_limits(Limits {
        connections: 2,
        ..impatient()
    })
    .start()
    .await;
    let stuck = [bench.connect().await, bench.connect().await, bench.connect().await];
    let mut last: Client = bench.connect().await;
    last.write(bench.request("GET /livez", &[], "")).await;
    assert_eq!(soon(last.answer()).await.expect("its turn comes").status, 200);
    drop(stuck);
}
