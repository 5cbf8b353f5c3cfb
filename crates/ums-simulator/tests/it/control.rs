use serde_json::{Value, json};
use ums_simulator::{Mode, Provider, Simulator};

use crate::client::{Http, Reply, Request, Smtp};
use crate::requests::{self, HTTP};
use crate::start;

async fn call(simulator: &Simulator, method: &'static str, path: &str, body: Value) -> Reply {
    let mut request = Request::new(method, path);
    if !body.is_null() {
        request.body = body.to_string();
    }
    request.send(simulator.http_addr()).await.expect("an answer")
}

async fn get(simulator: &Simulator, path: &str) -> Value {
    let reply = call(simulator, "GET", path, Value::Null).await;
    assert_eq!(reply.status, 200, "{path}");
    reply.json()
}

#[tokio::test]
async fn all_providers_answer_below_the_common_port() {
    let simulator = start().await;
    for provider in HTTP {
        let below = requests::send(provider).below(provider.name());
        let reply = below.send(simulator.http_addr()).await.expect("an answer");
        assert!(reply.status < 300, "{provider}: {}", reply.text());
    }
    // Without the slash at its end, as some SDKs cut it off.
    let mut bare = requests::send(Provider::Sns);
    "/sns".clone_into(&mut bare.path);
    let reply = bare.send(simulator.http_addr()).await.expect("an answer");
    assert_eq!(reply.status, 200);
    assert_eq!(simulator.messages().len(), 5);
}

#[tokio::test]
async fn messages_are_listed_oldest_first_and_filtered() {
    let simulator = start().await;
    for provider in HTTP {
        let reply = requests::send(provider).send(simulator.addr(provider)).await;
        assert!(reply.expect("an answer").status < 300);
    }
    let mut smtp = Smtp::greet(simulator.smtp_addr()).await.expect("open");
    smtp.mail("Hello").await.expect("accepted");

    let all = get(&simulator, "/_sim/messages").await;
    let providers: Vec<_> = all["messages"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|message| message["provider"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(providers, ["ses", "sns", "sendgrid", "twilio", "smtp"]);
    let keys = [
        "provider",
        "to",
        "from",
        "subject",
        "text",
        "html",
        "body",
        "headers",
        "raw",
        "received_at",
    ];
    for key in keys {
        assert!(all["messages"][0].get(key).is_some(), "{key}");
    }
    let count = async |query: &str| {
        let list = get(&simulator, &format!("/_sim/messages?{query}")).await;
        list["messages"].as_array().expect("a list").len()
    };
    assert_eq!(count("provider=sns").await, 1);
    assert_eq!(count("to=ZOE@example.com").await, 3);
    assert_eq!(count("to=%2B14165550123").await, 2);
    assert_eq!(count("to=+14165550123&provider=twilio").await, 1);
    assert_eq!(count("after=2&limit=2").await, 2);
    assert_eq!(count("to=nobody@example.com").await, 0);

    let cleared = call(&simulator, "DELETE", "/_sim/messages", Value::Null).await;
    assert_eq!(cleared.json()["cleared"], 5);
    assert_eq!(count("").await, 0);
}

#[tokio::test]
async fn long_lists_are_whole_json() {
    let simulator = start().await;
    let mut connection = Http::connect(simulator.addr(Provider::Twilio)).await.expect("open");
    for _ in 0..500 {
        connection.send(&requests::send(Provider::Twilio)).await.expect("an answer");
    }
    let all = get(&simulator, "/_sim/messages").await;
    let all = all["messages"].as_array().expect("a list");
    assert_eq!(all.len(), 500);
    assert!(all.iter().zip(1..).all(|(message, seq)| message["seq"] == seq));
    assert_eq!(simulator.stats(Provider::Twilio).connections, 1);
}

#[tokio::test]
async fn faults_are_put_listed_and_healed() {
    let simulator = start().await;
    let faults = get(&simulator, "/_sim/faults").await;
    assert!(faults["faults"]["ses"].is_null());

    let put = call(&simulator, "PUT", "/_sim/ses/fault", json!({"mode": "error"})).await;
    assert_eq!(put.status, 200);
    let expected = json!({
        "mode": "error", "rate": 1.0, "for_seconds": null, "status": 503,
        "retry_after": null, "delay_ms": 2000, "recipients": [], "limit": 1,
    });
    assert_eq!(put.json()["fault"], expected);
    let faults = get(&simulator, "/_sim/faults").await;
    assert_eq!(faults["faults"]["ses"], expected);
    assert!(faults["faults"]["sns"].is_null());
    assert_eq!(simulator.fault(Provider::Ses).expect("in force").mode, Mode::Error);

    let healed = call(&simulator, "DELETE", "/_sim/ses/fault", Value::Null).await;
    assert_eq!(healed.status, 200);
    assert!(simulator.fault(Provider::Ses).is_none());
}

#[tokio::test]
async fn every_mode_of_every_provider_can_be_put_or_is_refused_with_the_list() {
    let simulator = start().await;
    for provider in Provider::ALL {
        for mode in Mode::ALL {
            let path = format!("/_sim/{provider}/fault");
            let reply = call(&simulator, "PUT", &path, json!({"mode": mode})).await;
            if mode.is_possible_for(provider) {
                assert_eq!(reply.status, 200, "{provider} {mode}");
            } else {
                assert_eq!(reply.status, 400, "{provider} {mode}");
                assert!(reply.text().contains("reset_after"));
            }
        }
    }
}

#[tokio::test]
async fn nonsense_is_refused() {
    let simulator = start().await;
    let put = async |body: Value| call(&simulator, "PUT", "/_sim/ses/fault", body).await.status;
    assert_eq!(put(json!({"mode": "sulk"})).await, 400);
    assert_eq!(put(json!({"mode": "error", "odds": 1})).await, 400);
    assert_eq!(put(json!({"mode": "error", "rate": 2})).await, 400);
    assert_eq!(put(json!({"mode": "reject", "recipients": ["zoe@example.com"]})).await, 400);
    assert_eq!(put(json!({"mode": "defer"})).await, 400);
    assert_eq!(put(json!({"mode": "too_many", "limit": 2})).await, 400);
    assert_eq!(put(json!([])).await, 400);
    assert_eq!(put(Value::Null).await, 400);
    let put = async |body: Value| call(&simulator, "PUT", "/_sim/smtp/fault", body).await.status;
    assert_eq!(put(json!({"mode": "error", "recipients": ["zoe@example.com"]})).await, 400);
    assert_eq!(put(json!({"mode": "too_many", "recipients": ["zoe@example.com"]})).await, 400);
    assert_eq!(put(json!({"mode": "too_many", "limit": -1})).await, 400);
    assert_eq!(put(json!({"mode": "too_many", "limit": 2})).await, 200);
    assert_eq!(put(json!({"mode": "defer", "recipients": ["zoe@example.com"]})).await, 200);
    let status = async |method, path: &str| call(&simulator, method, path, Value::Null).await.status;
    assert_eq!(status("PUT", "/_sim/mars/fault").await, 404);
    assert_eq!(status("PATCH", "/_sim/ses/fault").await, 405);
    assert_eq!(status("POST", "/_sim/messages").await, 405);
    assert_eq!(status("GET", "/_sim/messages?provider=mars").await, 404);
    assert_eq!(status("GET", "/_sim/messages?limit=few").await, 400);
    assert_eq!(status("GET", "/_sim").await, 404);
    assert_eq!(status("GET", "/smtp/x").await, 404);
    assert_eq!(status("GET", "/").await, 200);
}

#[tokio::test]
async fn requests_are_counted() {
    let simulator = start().await;
    requests::send(Provider::Ses)
        .send(simulator.addr(Provider::Ses))
        .await
        .expect("an answer");
    let stats = get(&simulator, "/_sim/stats").await;
    let ses = &stats["providers"]["ses"];
    assert_eq!(ses["requests"], 1);
    assert_eq!(ses["sends"], 1);
    assert_eq!(ses["accepted"], 1);
    assert_eq!(ses["peak_in_flight"], 1);
    assert_eq!(ses["connections"], 1);
    assert_eq!(stats["messages"], 1);
}

#[tokio::test]
async fn shutdown_closes_everything_and_frees_the_ports() {
    let simulator = start().await;
    let address = simulator.addr(Provider::Ses);
    let mut kept = Http::connect(address).await.expect("open");
    kept.send(&requests::send(Provider::Ses)).await.expect("an answer");
    simulator.shutdown().await;
    kept.send(&requests::send(Provider::Ses)).await.expect_err("cut");
    let refused = Http::connect(address).await.expect_err("closed");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let simulator = start().await;
    let mut config = ums_simulator::SimulatorConfig::any_ports();
    config.twilio_port = simulator.addr(Provider::Twilio).port();
    let error = Simulator::start(config).await.expect_err("taken");
    let port = simulator.addr(Provider::Twilio).port().to_string();
    assert!(error.to_string().contains(&port), "{error}");
}
