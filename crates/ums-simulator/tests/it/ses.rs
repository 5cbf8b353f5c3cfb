use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use ums_simulator::{Fault, Mode, Provider, Simulator};

use crate::client::{Reply, Request};
use crate::requests::{self, simple};
use crate::start;

const SEND: &str = "/v2/email/outbound-emails";

async fn post(simulator: &Simulator, body: &Value) -> Reply {
    let request = requests::ses("POST", SEND, body);
    request.send(simulator.addr(Provider::Ses)).await.expect("an answer")
}

async fn get(simulator: &Simulator, path: &str) -> Reply {
    let request = requests::ses("GET", path, &json!({}));
    request.send(simulator.addr(Provider::Ses)).await.expect("an answer")
}

#[tokio::test]
async fn simple_content_is_recorded_whole() {
    let simulator = start().await;
    let body = json!({
        "FromEmailAddress": "=?UTF-8?B?Wm/Dqw==?= <shop@example.com>",
        "Destination": {
            "ToAddresses": ["Zoe <zoe@example.com>", "yann@example.org"],
            "CcAddresses": ["cc@example.com"],
            "BccAddresses": ["bcc@example.com"],
        },
        "ReplyToAddresses": ["help@example.com"],
        "Content": {"Simple": {
            "Subject": {"Data": "Grüße", "Charset": "UTF-8"},
            "Body": {"Text": {"Data": "Text"}, "Html": {"Data": "<p>Text</p>"}},
            "Headers": [{"Name": "X-Order", "Value": "5"}],
            "Attachments": [{
                "RawContent": STANDARD.encode("0123456789"),
                "FileName": "bill.pdf",
                "ContentType": "application/pdf",
                "ContentDisposition": "ATTACHMENT",
            }],
        }},
        "EmailTags": [{"Name": "ums_message", "Value": "0199-a"}],
        "ConfigurationSetName": "events",
    });
    let reply = post(&simulator, &body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-ums-simulator"), Some("1"));
    assert!(reply.header("x-amzn-requestid").is_some());

    let messages = simulator.messages();
    let [message] = messages.as_slice() else {
        panic!("one message: {messages:?}");
    };
    assert_eq!(reply.json()["MessageId"], message.id.as_str());
    assert_eq!(message.from.as_deref(), Some("shop@example.com"));
    assert_eq!(message.from_name.as_deref(), Some("Zoë"));
    assert_eq!(message.to, ["zoe@example.com", "yann@example.org"]);
    assert_eq!(message.cc, ["cc@example.com"]);
    assert_eq!(message.bcc, ["bcc@example.com"]);
    assert_eq!(message.reply_to, ["help@example.com"]);
    assert_eq!(message.subject.as_deref(), Some("Grüße"));
    assert_eq!(message.text.as_deref(), Some("Text"));
    assert_eq!(message.html.as_deref(), Some("<p>Text</p>"));
    assert_eq!(message.body, None);
    assert_eq!(message.headers["X-Order"], "5");
    assert_eq!(message.headers["Reply-To"], "help@example.com");
    assert_eq!(message.tags["ums_message"], "0199-a");
    assert_eq!(message.params["ConfigurationSetName"], "events");
    assert_eq!(message.path, SEND);
    assert_eq!(message.raw, body.to_string());
    let [attachment] = message.attachments.as_slice() else {
        panic!("one attachment");
    };
    assert_eq!(attachment.filename.as_deref(), Some("bill.pdf"));
    assert_eq!(attachment.size, 10);
    assert_eq!(attachment.disposition.as_deref(), Some("attachment"));
}

#[tokio::test]
async fn raw_content_is_read_as_mime() {
    let simulator = start().await;
    let mime = "From: Shop <shop@example.com>\r\nTo: zoe@example.com\r\nCc: cc@example.com\r\n\
                Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\r\nX-Order: 5\r\nMIME-Version: 1.0\r\n\
                Content-Type: multipart/mixed; boundary=b\r\n\r\n\
                --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nText\r\n\
                --b\r\nContent-Type: text/html\r\n\r\n<p>Text</p>\r\n\
                --b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\
                Content-Disposition: attachment; filename=bill.pdf\r\n\r\nMDEyMw==\r\n--b--\r\n";
    let body = json!({
        "Content": {"Raw": {"Data": STANDARD.encode(mime)}},
        "Destination": {"ToAddresses": ["zoe@example.com", "cc@example.com", "hidden@example.com"]},
    });
    assert_eq!(post(&simulator, &body).await.status, 200);
    let message = &simulator.messages()[0];
    assert_eq!(message.to, ["zoe@example.com"]);
    assert_eq!(message.cc, ["cc@example.com"]);
    assert_eq!(message.bcc, ["hidden@example.com"]);
    assert_eq!(message.from.as_deref(), Some("shop@example.com"));
    assert_eq!(message.subject.as_deref(), Some("Grüße"));
    assert_eq!(message.text.as_deref(), Some("Text"));
    assert_eq!(message.html.as_deref(), Some("<p>Text</p>"));
    assert_eq!(message.headers["X-Order"], "5");
    assert_eq!(message.attachments[0].filename.as_deref(), Some("bill.pdf"));
    assert_eq!(message.attachments[0].size, 4);
    assert_eq!(message.raw, mime);
}

#[tokio::test]
async fn requests_beyond_the_limits_are_bad() {
    let simulator = start().await;
    let check = async |pointer: &str, value: Value, code: &str, status: u16| {
        let mut body = simple();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        body.pointer_mut(parent).expect("a parent")[key] = value;
        let reply = post(&simulator, &body).await;
        assert_eq!(reply.status, status, "{pointer}");
        assert_eq!(reply.header("x-amzn-errortype"), Some(code), "{pointer}");
        assert!(reply.json()["message"].is_string());
    };
    let bad = "BadRequestException";
    let crowd = vec!["a@example.com"; 51];
    check("/Destination/ToAddresses", json!(crowd), bad, 400).await;
    check("/Destination/ToAddresses", json!([]), bad, 400).await;
    check("/Destination/ToAddresses", json!(["nobody"]), bad, 400).await;
    check("/Destination/ToAddresses", json!(["zoë@example.com"]), bad, 400).await;
    check("/FromEmailAddress", Value::Null, bad, 400).await;
    check("/EmailTags", json!([{"Name": "a", "Value": "b c"}]), bad, 400).await;
    check("/Content/Simple", Value::Null, bad, 400).await;
    check("/Content/Simple/Body", json!({}), bad, 400).await;
    let headers = vec![json!({"Name": "X-A", "Value": "b"}); 16];
    check("/Content/Simple/Headers", json!(headers), bad, 400).await;
    let header = json!([{"Name": "X A", "Value": "b"}]);
    check("/Content/Simple/Headers", header, bad, 400).await;
    let twice = json!([{"Name": "List-Id", "Value": "<a>"}, {"Name": "list-id", "Value": "<b>"}]);
    check("/Content/Simple/Headers", twice, bad, 400).await;
    check("/ConfigurationSetName", json!("a b"), bad, 400).await;
    let good = json!({"RawContent": "MDEyMw==", "FileName": "a.txt", "ContentType": "text/plain"});
    for (key, value) in [
        ("FileName", "a.EXE"),
        ("FileName", "LICENSE"),
        ("FileName", &format!("{}.txt", "x".repeat(252))),
        ("ContentType", "text/calendar; method=REQUEST"),
        ("ContentType", &format!("text/{}", "x".repeat(74))),
        ("ContentId", ""),
        ("ContentDisposition", "BESIDE"),
        ("ContentTransferEncoding", "8BIT"),
    ] {
        let mut file = good.clone();
        file[key] = json!(value);
        check("/Content/Simple/Attachments", json!([file]), bad, 400).await;
    }
    let template = json!({"Template": {"TemplateName": "none"}});
    check("/Content", template, "NotFoundException", 404).await;
    check("/Content", json!("text"), "SerializationException", 400).await;
    assert!(simulator.messages().is_empty());
    assert_eq!(simulator.stats(Provider::Ses).accepted, 0);
}

#[tokio::test]
async fn signatures_must_have_their_form() {
    let simulator = start().await;
    let good = requests::send(Provider::Ses);
    let check = async |request: Request, code: &str| {
        let reply = request.send(simulator.addr(Provider::Ses)).await.expect("an answer");
        assert_eq!(reply.status, 403);
        assert_eq!(reply.header("x-amzn-errortype"), Some(code));
    };
    check(good.clone().without("Authorization"), "MissingAuthenticationTokenException").await;
    check(good.clone().header("Authorization", "Bearer SG.x"), "IncompleteSignatureException").await;
    check(good.clone().without("X-Amz-Date"), "IncompleteSignatureException").await;
    let sns = requests::send(Provider::Sns);
    let (_, elsewhere) = &sns.headers[1];
    check(good.header("Authorization", elsewhere), "InvalidSignatureException").await;
    assert!(simulator.messages().is_empty());
}

#[tokio::test]
async fn the_account_tells_of_its_faults() {
    let simulator = start().await;
    let account = get(&simulator, "/v2/email/account").await.json();
    assert_eq!(account["SendingEnabled"], true);
    assert_eq!(account["EnforcementStatus"], "HEALTHY");

    simulator.set_fault(Provider::Ses, Mode::Suspended).await.expect("possible");
    let account = get(&simulator, "/v2/email/account").await.json();
    assert_eq!(account["SendingEnabled"], false);
    assert_eq!(account["EnforcementStatus"], "SHUTDOWN");

    simulator.set_fault(Provider::Ses, Mode::Quota).await.expect("possible");
    let quota = get(&simulator, "/v2/email/account").await.json()["SendQuota"].clone();
    assert_eq!(quota["SentLast24Hours"], quota["Max24HourSend"]);

    let down = Fault::new(Mode::Error).status(500);
    simulator.set_fault(Provider::Ses, down).await.expect("possible");
    assert_eq!(get(&simulator, "/v2/email/account").await.status, 500);
}

#[tokio::test]
async fn every_sender_is_verified() {
    let simulator = start().await;
    let body = json!({"EmailIdentity": "shop@example.com"});
    let request = requests::ses("POST", "/v2/email/identities", &body);
    let made = request.send(simulator.addr(Provider::Ses)).await.expect("an answer");
    assert_eq!(made.json()["IdentityType"], "EMAIL_ADDRESS");
    let one = get(&simulator, "/v2/email/identities/example.com").await.json();
    assert_eq!(one["VerifiedForSendingStatus"], true);
    assert_eq!(one["IdentityType"], "DOMAIN");
    assert_eq!(get(&simulator, "/v2/email/contact-lists").await.status, 404);
}
