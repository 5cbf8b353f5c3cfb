//! Pages, probes and counts.

use ums_core::{FailureClass, Timestamp, Trouble, TroubleKind};
use ums_server::ErrorCode;
use ums_testkit::Reply;

use crate::setup::{EMAIL, start};

#[tokio::test]
async fn pages_are_html_that_needs_nothing_from_outside() {
    let bench = start().await;
    for path in ["/", "/docs", "/docs/errors"] {
        let answer = bench.get(path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("text/html; charset=utf-8")),
            "{path}"
        );
        assert!(answer.body.contains("<link rel=stylesheet href=/docs/style.css>"));
    }
    let style = bench.get("/docs/style.css").await;
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
    for code in ErrorCode::ALL {
        let answer = bench.get(&format!("/docs/errors/{}", code.as_str())).await;
        assert!(answer.status == 200 && answer.body.contains("What to do"), "{}", code.as_str());
    }
    assert_eq!(bench.get("/docs/errors/UMS0000").await.code(), "UMS1011");
}

#[tokio::test]
async fn the_reference_shows_every_call() {
    let bench = start().await;
    let (page, document) = (bench.get("/docs").await.body, bench.get("/openapi.json").await.json());
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(page.contains(path.as_str()), "{path}");
    }
    for id in ["sendEmail", "sendSms", "SendResult", "Problem"] {
        assert!(page.contains(&format!("id={id}")), "{id}");
    }
}

#[tokio::test]
async fn probes_say_alive_and_ready() {
    let bench = start().await;
    assert_eq!(bench.get("/livez").await.json()["status"], "alive");
    assert_eq!(bench.get("/readyz").await.json()["status"], "ready");
}

#[tokio::test]
async fn a_trouble_of_the_service_is_told_and_one_that_blocks_makes_it_unready() {
    let bench = start().await;
    let troubles = bench.messaging.troubles().clone();
    let trouble = |kind, is_blocking| Trouble {
        kind,
        since: Timestamp::from_micros(0),
        reason: "it is as the test wants it; end the test".into(),
        is_blocking,
    };
    troubles.raise(trouble(TroubleKind::Log, false));
    assert_eq!(bench.get("/readyz").await.status, 200);
    troubles.raise(trouble(TroubleKind::Database, true));
    let answer = bench.get("/readyz").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UMS5007"));
    assert_eq!(answer.json()["detail"], "it is as the test wants it; end the test");
    let health = bench.get("/v1/providers/health").await.json();
    let kinds: Vec<_> = health["troubles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|trouble| &trouble["kind"])
        .collect();
    assert_eq!(kinds, ["database", "log"]);
    let counts = bench.get("/metrics").await.body;
    assert!(counts.contains("ums_trouble{kind=\"database\"} 1\n") && counts.contains("ums_trouble{kind=\"clock\"} 0\n"));
    troubles.clear(TroubleKind::Database);
    assert_eq!(bench.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn counts_tell_what_happened() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Misconfigured));
    bench.post("/v1/emails", &[], EMAIL).await;
    let answer = bench.get("/metrics").await;
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for line in [
        r#"ums_attempts_total{provider="aws_ses",outcome="failed",class="misconfigured"} 1"#,
        r#"ums_attempts_total{provider="sendgrid",outcome="accepted",class="none"} 1"#,
        r#"ums_messages_total{channel="email",status="sent"} 1"#,
        r#"ums_breaker_state{provider="aws_ses"} 2"#,
        r#"ums_breaker_state{provider="sendgrid"} 0"#,
        r#"ums_breaker_state{provider="twilio"} 0"#,
        r#"ums_breaker_transitions_total{provider="aws_ses",to="open"} 1"#,
        r#"ums_cost_total{channel="email",currency="USD"} 0.0002"#,
        r#"ums_http_requests_total{route="/v1/emails",method="POST",status="200"} 1"#,
        r#"ums_attempt_duration_seconds_count{provider="sendgrid"} 1"#,
        r#"ums_http_request_duration_seconds_count{route="/v1/emails",method="POST"} 1"#,
        "ums_http_connections ",
        "# EOF",
    ] {
        assert!(answer.body.contains(line), "{line} in\n{}", answer.body);
    }
}

#[tokio::test]
async fn labels_stay_bounded() {
    let bench = start().await;
    for number in 0..20 {
        bench.get(&format!("/canary-{number}")).await;
        bench.get(&format!("/v1/messages/canary-{number}")).await;
        bench.call(&format!("CANARY{number} /livez"), &[], "").await;
    }
    let text = bench.get("/metrics").await.body;
    assert!(!text.to_ascii_lowercase().contains("canary"), "{text}");
    assert!(text.contains(r#"{route="unmatched",method="GET",status="404"} 20"#), "{text}");
    assert!(text.contains(r#"{route="/livez",method="other",status="405"} 20"#), "{text}");
}
