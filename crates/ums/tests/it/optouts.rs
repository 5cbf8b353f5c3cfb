//! How much an opt-out holds, through the real binary: the link of a newsletter, and a provider's own unsubscribe list.

use serde_json::{Value, json};
use ums_core::{Clock as _, SystemClock};

use crate::http::{get, post, request};
use crate::program::{Place, Running};

const KEY: &[&str] = &["Authorization: Bearer serve-key"];

/// Looks again and again until a message stands so.
fn until(address: &str, id: &str, headers: &[&str], status: &str) -> Value {
    let clock = SystemClock::new();
    let give_up = clock.monotonic() + std::time::Duration::from_secs(20);
    loop {
        let message = request(address, "GET", &format!("/v1/messages/{id}"), headers, b"").json();
        if message["status"] == status {
            return message;
        }
        assert!(clock.monotonic() < give_up, "not {status}: {message}");
        std::thread::yield_now();
    }
}

fn serve(simulator: &Running) -> (Place, Running, String) {
    let mut place = Place::new();
    place
        .with_providers(simulator)
        .set("UMS_API_KEY", "serve-key")
        .set("UMS_SECRET_KEY", "a-secret-key-of-the-test-0123456789")
        .set("UMS_PUBLIC_URL", "https://ums.example.com");
    let running = place.start(&["serve", "--listen", "127.0.0.1:0"], "\"serving\"");
    let line: Value = serde_json::from_str(&running.ready_line).unwrap();
    let address = line["address"].as_str().unwrap().to_owned();
    (place, running, address)
}

#[test]
fn one_click_in_a_newsletter_stops_newsletters_and_never_a_code() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let (place, _running, address) = serve(&simulator);
    let send = |purpose: &str, list: Option<&str>| {
        let mut body = json!({"to": "customer@example.com", "subject": "News", "text_content": "Hello", "purpose": purpose});
        if let Some(list) = list {
            body["list"] = list.into();
        }
        request(&address, "POST", "/v1/emails", KEY, body.to_string().as_bytes()).json()
    };
    let fare = || {
        let kinds = [
            ("bulk", Some("weekly")),
            ("bulk", Some("offers")),
            ("bulk", None),
            ("transactional", None),
            ("otp", None),
        ];
        kinds.map(|(purpose, list)| send(purpose, list)["status"].as_str().unwrap_or("?").to_owned())
    };
    assert_eq!(send("bulk", Some("Weekly"))["status"], "sent");
    let newsletter = simulator.received().pop().unwrap();
    let link = newsletter["headers"]["List-Unsubscribe"].as_str().or_else(|| {
        let headers = newsletter["headers"].as_array()?;
        headers
            .iter()
            .find_map(|pair| (pair[0] == "List-Unsubscribe").then(|| pair[1].as_str())?)
    });
    let link = link.unwrap_or_else(|| panic!("no link: {newsletter}"));
    let path = link
        .trim_matches(['<', '>'])
        .strip_prefix("https://ums.example.com")
        .unwrap()
        .to_owned();
    let page = get(&address, &path).body;
    assert!(page.contains("Only from weekly") && page.contains("Receipts, codes"), "{page}");

    let only = request(&address, "POST", &format!("{path}?choice=list"), &[], b"").body;
    assert!(only.contains("No more mail of <strong>weekly</strong>"), "{only}");
    assert_eq!(fare(), ["unsubscribed", "sent", "sent", "sent", "sent"]);

    let clicked = request(&address, "POST", &path, &[], b"List-Unsubscribe=One-Click");
    assert_eq!(clicked.status, 200, "{}", clicked.body);
    assert!(
        clicked.body.contains("Take it back") && clicked.body.contains("Receipts, codes"),
        "{}",
        clicked.body
    );
    assert_eq!(fare(), ["unsubscribed", "unsubscribed", "unsubscribed", "sent", "sent"]);
    let listed = place.run(&["suppressions", "list", "--json"]).expect(0).json();
    let entries: Vec<_> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (&entry["scope"], &entry["list"]))
        .collect();
    assert_eq!(
        entries,
        [(&json!("bulk"), &Value::Null), (&json!("bulk"), &json!("weekly"))],
        "{listed}"
    );

    let back = request(&address, "POST", &format!("{path}?choice=undo"), &[], b"").body;
    assert!(back.contains("subscribed again"), "{back}");
    assert_eq!(fare(), ["sent"; 5]);

    // What an operator puts there by hand still bars everything.
    place.run(&["suppressions", "add", "customer@example.com"]).expect(0);
    assert_eq!(fare(), ["suppressed"; 5]);
}

#[test]
fn a_code_that_sendgrid_drops_for_its_unsubscribe_list_goes_out_by_smtp() {
    let place = Place::new();
    let dev = place.start(&["dev", "--listen", "127.0.0.1:0"], "Stop with Ctrl-C");
    dev.fault("ses", r#"{"mode": "error", "status": 503}"#);
    dev.fault("sendgrid", r#"{"mode": "unsubscribed"}"#);
    let service = dev.address("service");
    for purpose in ["otp", "transactional"] {
        let body = json!({"to": format!("{purpose}@example.com"), "subject": "Your code", "text_content": "123456", "purpose": purpose});
        let id = post(service, "/v1/emails", &body).json()["message_id"].as_str().unwrap().to_owned();
        let clock = SystemClock::new();
        let give_up = clock.monotonic() + std::time::Duration::from_secs(20);
        let message = loop {
            let message = get(service, &format!("/v1/messages/{id}")).json();
            if message["metadata"]["provider"] == "smtp" {
                break message;
            }
            assert!(clock.monotonic() < give_up, "{message}");
            std::thread::yield_now();
        };
        assert!(matches!(message["status"].as_str(), Some("sent" | "delivered")), "{message}");
        assert_eq!(message["possibly_duplicate"], false, "{message}");
        let classes: Vec<_> = message["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|attempt| &attempt["class"])
            .collect();
        assert!(classes.contains(&&json!("provider_unsubscribed")), "{message}");
        let server = format!("http://{service}");
        let told = Place::new().run(&["messages", "explain", &id, "--server", &server]).expect(0).out;
        assert!(told.contains("own unsubscribe list"), "{told}");
    }
    let listed = get(service, "/v1/suppressions").json();
    let first = &listed["data"][0];
    assert_eq!(
        (&first["reason"], &first["scope"]),
        (&json!("unsubscribe"), &json!("bulk")),
        "{listed}"
    );

    // The newsletter is not evaded to another provider.
    let news = json!({"to": "reader@example.com", "subject": "News", "text_content": "Hello", "purpose": "bulk"});
    let id = post(service, "/v1/emails", &news).json()["message_id"].as_str().unwrap().to_owned();
    let message = until(service, &id, &[], "unsubscribed");
    let tried = message["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .any(|attempt| attempt["provider"] == "smtp");
    assert!(!tried, "{message}");
}
