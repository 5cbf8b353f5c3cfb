use ums_simulator::{Mode, Provider, Simulator};

use crate::client::{Reply, Request};
use crate::requests::{self, ACCOUNT, twilio};
use crate::start;

async fn send(simulator: &Simulator, request: Request) -> Reply {
    request.send(simulator.addr(Provider::Twilio)).await.expect("an answer")
}

async fn post(simulator: &Simulator, form: &str) -> Reply {
    send(simulator, twilio("POST", "/Messages.json").body(form)).await
}

#[tokio::test]
async fn a_text_is_recorded_and_can_be_fetched() {
    let simulator = start().await;
    let text = "é".repeat(161);
    let form = format!(
        "To=%2B14165550123&From=%2B15005550006&Body={text}\
         &StatusCallback=https%3A%2F%2Fexample.com%2Fhook%3Fid%3D1&ValidityPeriod=600"
    );
    let reply = post(&simulator, &form).await;
    assert_eq!(reply.status, 201);
    let created = reply.json();
    let sid = created["sid"].as_str().expect("a sid").to_owned();
    assert!(sid.starts_with("SM") && sid.len() == 34);
    assert_eq!(created["status"], "queued");
    assert_eq!(created["num_segments"], "2");
    assert_eq!(created["from"], "+15005550006");
    assert_eq!(created["account_sid"], ACCOUNT);
    let date = created["date_created"].as_str().expect("a date");
    assert!(date.ends_with(" +0000") && date.len() == 31, "{date}");

    let message = &simulator.messages()[0];
    assert_eq!(message.id, sid);
    assert_eq!(message.to, ["+14165550123"]);
    assert_eq!(message.from.as_deref(), Some("+15005550006"));
    assert_eq!(message.body.as_ref(), Some(&text));
    assert_eq!(message.params["StatusCallback"], "https://example.com/hook?id=1");

    let one = send(&simulator, twilio("GET", &format!("/Messages/{sid}.json"))).await;
    assert_eq!((one.status, &one.json()["sid"]), (200, &created["sid"]));
    assert_eq!(one.json()["status"], "delivered");
    let none = send(&simulator, twilio("GET", "/Messages/SM0.json")).await;
    assert_eq!((none.status, &none.json()["code"]), (404, &20404.into()));
}

#[tokio::test]
async fn texts_are_listed_newest_first_in_pages() {
    let simulator = start().await;
    for body in ["one", "two", "three"] {
        let form = format!("To=%2B14165550123&From=%2B15005550006&Body={body}");
        post(&simulator, &form).await;
    }
    post(&simulator, "To=%2B14165550199&From=%2B15005550006&Body=other").await;
    let list = twilio("GET", "/Messages.json?To=%2B14165550123&PageSize=2");
    let page = send(&simulator, list).await.json();
    assert_eq!(page["messages"][0]["body"], "three");
    assert_eq!(page["messages"][1]["body"], "two");
    let next = page["next_page_uri"].as_str().expect("a next page");
    let mut request = twilio("GET", "");
    next.clone_into(&mut request.path);
    let page = send(&simulator, request).await.json();
    assert_eq!(page["messages"][0]["body"], "one");
    assert!(page["messages"][1].is_null() && page["next_page_uri"].is_null());
}

#[tokio::test]
async fn pages_carry_the_choice_on_and_do_not_shift() {
    let simulator = start().await;
    for body in ["one", "two", "three"] {
        post(&simulator, &format!("To=%2B14165550123&From=%2B15005550006&Body={body}")).await;
    }
    let other = "To=%2B14165550123&From=Shop&Body=other";
    post(&simulator, other).await;
    let list = async |query: &str| {
        let page = send(&simulator, twilio("GET", &format!("/Messages.json?{query}"))).await;
        assert_eq!(page.status, 200, "{query}: {}", page.text());
        page.json()
    };
    let bodies = |page: &serde_json::Value| {
        let messages = page["messages"].as_array().expect("a list").clone();
        messages
            .iter()
            .map(|it| it["body"].as_str().expect("a text").to_owned())
            .collect::<Vec<_>>()
    };
    let page = list("From=%2B15005550006&PageSize=2&DateSent%3E=2026-01-01").await;
    assert_eq!(bodies(&page), ["three", "two"]);
    post(&simulator, "To=%2B14165550123&From=%2B15005550006&Body=meanwhile").await;
    let next = page["next_page_uri"].as_str().expect("a next page");
    let (_, query) = next.split_once('?').expect("a query");
    assert_eq!(bodies(&list(query).await), ["one"]);

    let now = simulator.messages()[0].received_at;
    let day = now.strftime("%Y-%m-%d").to_string();
    assert_eq!(bodies(&list(&format!("DateSent={day}")).await).len(), 5);
    assert_eq!(bodies(&list(&format!("DateSent%3C={day}")).await).len(), 0);
    assert_eq!(bodies(&list(&format!("DateSent%3E={day}T00%3A00%3A00Z")).await).len(), 5);
    assert_eq!(bodies(&list("DateSent%3E=2099-01-01").await).len(), 0);
    let wrong = send(&simulator, twilio("GET", "/Messages.json?DateSent=soon")).await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn mistakes_have_their_codes() {
    let simulator = start().await;
    let check = async |form: &str, code: u32| {
        let reply = post(&simulator, form).await;
        assert_eq!((reply.status, &reply.json()["code"]), (400, &code.into()), "{form}");
        let info = format!("https://www.twilio.com/docs/errors/{code}");
        assert_eq!(reply.json()["more_info"], info);
        assert_eq!(reply.json()["status"], 400);
    };
    check("From=%2B15005550006&Body=x", 21604).await;
    check("To=4165550123&From=%2B15005550006&Body=x", 21211).await;
    check("To=%2B14165550123&Body=x", 21603).await;
    check("To=%2B14165550123&From=%2B15005550006", 21602).await;
    check("To=%2B14165550123&From=%2B1&Body=x", 21212).await;
    check("To=%2B14165550123&MessagingServiceSid=MG1&Body=x", 21705).await;
    check("To=%2B15005550006&From=%2B15005550006&Body=x", 21266).await;
    check("To=%2B14165550123&From=Shop&Body=x&StatusCallback=nowhere", 21609).await;
    check("To=%2B14165550123&From=Shop&Body=x&ValidityPeriod=0", 21624).await;
    let long = format!("To=%2B14165550123&From=Shop&Body={}", "x".repeat(1_601));
    check(&long, 21617).await;
    for (to, code) in [("1", 21211), ("2", 21612), ("3", 21408), ("4", 21610), ("9", 21614)] {
        check(&format!("To=%2B1500555000{to}&From=%2B15005550006&Body=x"), code).await;
    }
    for (from, code) in [("1", 21212), ("7", 21606), ("8", 21611)] {
        check(&format!("To=%2B14165550123&From=%2B1500555000{from}&Body=x"), code).await;
    }
    assert!(simulator.messages().is_empty());
}

#[tokio::test]
async fn a_service_may_send() {
    let simulator = start().await;
    let service = "MG0123456789abcdef0123456789abcdef";
    let form = format!("To=%2B14165550123&MessagingServiceSid={service}&Body=x");
    let created = post(&simulator, &form).await.json();
    assert_eq!(created["status"], "accepted");
    assert_eq!(created["num_segments"], "0");
    assert!(created["from"].is_null());
    assert_eq!(created["messaging_service_sid"], service);
    assert_eq!(simulator.messages()[0].from.as_deref(), Some(service));
}

#[tokio::test]
async fn credentials_must_have_their_form() {
    let simulator = start().await;
    let good = requests::send(Provider::Twilio);
    // In turn: user:pass, ACshort:token, no password, another account's.
    let other = "QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDp4";
    for encoded in ["dXNlcjpwYXNz", "QUNzaG9ydDp0b2tlbg==", "QUMwOg==", other, "!!"] {
        let request = good.clone().header("Authorization", format!("Basic {encoded}"));
        let reply = send(&simulator, request).await;
        assert_eq!((reply.status, &reply.json()["code"]), (401, &20003.into()));
        assert!(reply.header("www-authenticate").is_some());
    }
    assert_eq!(send(&simulator, good.without("Authorization")).await.status, 401);
}

#[tokio::test]
async fn account_and_balance_can_be_asked() {
    let simulator = start().await;
    let account = send(&simulator, twilio("GET", ".json")).await.json();
    assert_eq!((&account["sid"], &account["status"]), (&ACCOUNT.into(), &"active".into()));
    let balance = send(&simulator, twilio("GET", "/Balance.json")).await.json();
    assert_eq!(balance["currency"], "USD");
    simulator.set_fault(Provider::Twilio, Mode::Suspended).await.expect("possible");
    let account = send(&simulator, twilio("GET", ".json")).await.json();
    assert_eq!(account["status"], "suspended");
}

#[tokio::test]
async fn marked_texts_show_their_end() {
    let simulator = start().await;
    for (mode, status) in [(Mode::Bounce, "undelivered"), (Mode::NeverDeliver, "sent")] {
        simulator.set_fault(Provider::Twilio, mode).await.expect("possible");
        let created = send(&simulator, requests::send(Provider::Twilio)).await.json();
        let path = format!("/Messages/{}.json", created["sid"].as_str().expect("a sid"));
        assert_eq!(send(&simulator, twilio("GET", &path)).await.json()["status"], status);
    }
}
