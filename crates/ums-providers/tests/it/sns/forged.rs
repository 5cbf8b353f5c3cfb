//! What is not believed: one table. No row gives an event; no row makes a request to anywhere but SNS in the topic's region, and only those
//! that are false in what only the certificate tells make one at all.

use std::sync::Arc;

use serde_json::{Value, json};
use ums_core::{Hook as _, HookFault, HookRequest};
use ums_providers::feedback::aws::{AwsHook, HttpCertificates};

use super::bed::{CERTIFICATE_URL, Counting, Draft, NOW, PEM, Sink, TOPIC, fixture, request, settings};

struct Forgery {
    name: String,
    request: HookRequest,
    pem: &'static str,
    /// Why it is refused.
    word: &'static str,
}

impl Forgery {
    fn new(name: &str, body: Vec<u8>, word: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            request: request(body, NOW),
            pem: PEM,
            word,
        }
    }

    /// Whether a certificate has to be seen before it shows.
    fn needs_certificate(&self) -> bool {
        matches!(self.word, "certificate" | "signature" | "subscribe_url")
    }
}

/// URLs of certificates that are not SNS's in the topic's region, with the sink's port where one is named.
fn certificate_urls(port: u16) -> Vec<String> {
    let file = "SimpleNotificationService-0123456789abcdef.pem";
    let mut urls: Vec<String> = [
        "https://sns.us-east-1.amazonaws.com.example.com",
        "https://sns.us-east-1.amazonaws.com-example.com",
        "https://sns.us-east-1.amazonaws.comexample.com",
        "https://sns.us-east-1.amazonaws.example.com",
        "https://snsXus-east-1.amazonaws.com",
        "https://example.com",
        "https://example.com/sns.us-east-1.amazonaws.com",
        "https://us-east-1.amazonaws.com",
        "https://evil.sns.us-east-1.amazonaws.com",
        "https://sns.s3.amazonaws.com",
        "https://s3.amazonaws.com/sns.us-east-1.amazonaws.com",
        "https://bucket.s3.us-east-1.amazonaws.com",
        "https://sns.us-east-1.s3.amazonaws.com",
        "https://sns-us-east-1.amazonaws.com",
        "https://sns.us-west-2.amazonaws.com",
        "https://sns.us-east-1.amazonaws.com.cn",
        "https://sns.cn-north-1.amazonaws.com.cn",
        "https://sns.us-east-1.amazonaws.com.",
        "https://SNS.US-EAST-1.AMAZONAWS.COM",
        "HTTPS://sns.us-east-1.amazonaws.com",
        "https://sns.us-east-1.amazonaws.com:443",
        "https://sns.us-east-1.amazonaws.com:8443",
        "https://user@sns.us-east-1.amazonaws.com",
        "https://user:password@sns.us-east-1.amazonaws.com",
        "https://sns.us-east-1.amazonaws.com@example.com",
        "https://sns.us-east-1.amazonaws.com:x@example.com",
        "https://sns.us-east-1.amazonaws.com\\@example.com",
        "https://sns.us-east-1.amazonaws.com%2f@example.com",
        "https://sns.us-east-1.amazonaws.com#@example.com",
        "https://sns.us-east-1.amazonaws.com?@example.com",
        "https://example.com#sns.us-east-1.amazonaws.com",
        "https://example.com?sns.us-east-1.amazonaws.com",
        "https://sns.us-east-1.аmazonaws.com",
        "https://sns.us-east-1.xn--mazonaws-1fg.com",
        "https://sns。us-east-1。amazonaws。com",
        "https://sns.us-east-1.amazon\u{200d}aws.com",
        "https://sns.us-east-1\u{0}.amazonaws.com",
        "https:/sns.us-east-1.amazonaws.com",
        "https:///sns.us-east-1.amazonaws.com",
        "https:\\\\sns.us-east-1.amazonaws.com",
        "//sns.us-east-1.amazonaws.com",
        " https://sns.us-east-1.amazonaws.com",
        "http://sns.us-east-1.amazonaws.com",
        "ftp://sns.us-east-1.amazonaws.com",
        "file://",
        "https://169.254.169.254",
        "https://[::ffff:169.254.169.254]",
        "https://2852039166",
        "https://10.0.0.1",
    ]
    .iter()
    .map(|root| format!("{root}/{file}"))
    .collect();
    let host = "https://sns.us-east-1.amazonaws.com";
    urls.extend(
        [
            "",
            "/",
            "/.pem",
            "/SimpleNotificationService-0123456789abcdef",
            "/SimpleNotificationService-0123456789abcdef.pem.exe",
            "/SimpleNotificationService-0123456789abcdef.PEM",
            "/SimpleNotificationService-0123456789abcdef.pem?",
            "/SimpleNotificationService-0123456789abcdef.pem?a=b",
            "/SimpleNotificationService-0123456789abcdef.pem#a",
            "/?a=SimpleNotificationService-0123456789abcdef.pem",
            "/#SimpleNotificationService-0123456789abcdef.pem",
            "/../SimpleNotificationService-0123456789abcdef.pem",
            "/a/../SimpleNotificationService-0123456789abcdef.pem",
            "/a/SimpleNotificationService-0123456789abcdef.pem",
            "//SimpleNotificationService-0123456789abcdef.pem",
            "/%2e%2e%2fSimpleNotificationService-0123456789abcdef.pem",
            "/Simple%4eotificationService-0123456789abcdef.pem",
            "/SimpleNotificationService-0123456789abcdef.pem%00",
            "/SimpleNotificationService-0123456789abcdef.pem ",
            "/SimpleNotificationService-0123456789abcdef\\.pem",
            "/SimpleNotificationService-0123456789abcdéf.pem",
            "/SimpleNotificationService 0123456789abcdef.pem",
            "/?Action=Publish&TopicArn=a&Message=.pem",
        ]
        .iter()
        .map(|path| format!("{host}{path}")),
    );
    for scheme in ["http", "https"] {
        for host in [
            "127.0.0.1",
            "localhost",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "2130706433",
            "0177.0.0.1",
            "127.1",
        ] {
            urls.push(format!("{scheme}://{host}:{port}/{file}"));
        }
        urls.push(format!("{scheme}://sns.us-east-1.amazonaws.com@127.0.0.1:{port}/{file}"));
    }
    urls
}

fn by_url(port: u16) -> Vec<Forgery> {
    let mut forgeries: Vec<Forgery> = certificate_urls(port)
        .into_iter()
        .map(|url| {
            let name = format!("certificate at {url:?}");
            Forgery::new(&name, Draft::delivery().set("SigningCertURL", url).body(), "certificate_url")
        })
        .collect();
    for (name, value) in [
        ("no URL", Value::Null),
        ("a list of URLs", json!([CERTIFICATE_URL])),
        ("an object as URL", json!({"url": CERTIFICATE_URL})),
        ("a number as URL", json!(1)),
    ] {
        forgeries.push(Forgery::new(
            name,
            Draft::delivery().set("SigningCertURL", value).body(),
            "certificate_url",
        ));
    }
    let both = Draft::delivery().set("SigningCertUrl", format!("http://127.0.0.1:{port}/a.pem"));
    forgeries.push(Forgery::new("both spellings of the URL", both.body(), "certificate_url"));
    forgeries.push(Forgery::new(
        "URL left out",
        Draft::delivery().without("SigningCertURL").body(),
        "certificate_url",
    ));
    forgeries
}

/// Right in all that can be told without the certificate.
fn by_signature() -> Vec<Forgery> {
    let draft = Draft::delivery;
    let changed = |name: &str, value: &str| Forgery::new(&format!("{name} changed"), draft().set(name, value).body(), "signature");
    let signature = draft().text("Signature").to_owned();
    let short = &signature[..signature.len() - 8];
    let mut forgeries = vec![
        changed("Message", r#"{"eventType":"Bounce"}"#),
        changed("MessageId", "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf325"),
        changed("Subject", "another"),
        changed("Timestamp", "2026-11-22T10:00:02.001Z"),
        Forgery::new("Subject removed", draft().without("Subject").body(), "signature"),
        Forgery::new("Subject made null", draft().set("Subject", Value::Null).body(), "signature"),
        Forgery::new("Subject made empty", draft().set("Subject", "").body(), "signature"),
        Forgery::new(
            "Subject added",
            draft().without("Subject").signed().set("Subject", "new").body(),
            "signature",
        ),
        Forgery::new(
            "a space after the message",
            draft().set("Message", format!("{} ", draft().text("Message"))).body(),
            "signature",
        ),
        Forgery::new("version 2 called 1", draft().set("SignatureVersion", "1").body(), "signature"),
        Forgery::new(
            "version 1 called 2",
            fixture!("ours-v1.json")
                .replace("\"SignatureVersion\": \"1\"", "\"SignatureVersion\": \"2\"")
                .into(),
            "signature",
        ),
        Forgery::new(
            "version 1, message changed",
            fixture!("ours-v1.json").replace("250 ok", "250 OK").into(),
            "signature",
        ),
        Forgery::new(
            "signed by another key",
            draft().signed_by(fixture!("other.key.pem")).body(),
            "signature",
        ),
        Forgery::new(
            "a signature of zeros",
            draft().set("Signature", "A".repeat(342) + "==").body(),
            "signature",
        ),
        Forgery::new("a short signature", draft().set("Signature", short).body(), "signature"),
        Forgery::new(
            "a long signature",
            draft().set("Signature", format!("AAAA{signature}")).body(),
            "signature",
        ),
        Forgery::new(
            "the certificate as signature",
            draft().set("Signature", "MIIFxTCCBK2gAwIBAgIQBkyRNHAyygLkObkxH5ju").body(),
            "signature",
        ),
        Forgery::new(
            "a notification made of a subscription",
            Draft::subscription().set("Type", "Notification").body(),
            "signature",
        ),
        Forgery::new(
            "an end made of a subscription",
            Draft::subscription().set("Type", "UnsubscribeConfirmation").body(),
            "signature",
        ),
        Forgery::new(
            "a subscription with another token",
            Draft::subscription().set("Token", "abc").body(),
            "signature",
        ),
    ];
    for (name, pem) in [
        ("an expired certificate", fixture!("expired.pem")),
        ("a certificate of the future", fixture!("not-yet.pem")),
        ("a certificate of somebody else", fixture!("wrong-name.pem")),
        ("a certificate of another region", fixture!("wrong-region.pem")),
        ("a certificate of China", fixture!("china.pem")),
        ("a certificate with a curve's key", fixture!("curve.pem")),
        ("a key and no certificate", fixture!("test.key.pem")),
        (
            "two certificates",
            concat!(
                include_str!("../../fixtures/aws/test.pem"),
                include_str!("../../fixtures/aws/test.pem")
            ),
        ),
        ("a page instead of a certificate", "<html>no</html>"),
        ("nothing instead of a certificate", ""),
    ] {
        forgeries.push(Forgery {
            pem,
            ..Forgery::new(name, draft().body(), "certificate")
        });
    }
    for (name, pem) in [
        ("self-made, with SNS's name and a small key", fixture!("small.pem")),
        ("another certificate with SNS's name", fixture!("other.pem")),
        ("SNS's real certificate", fixture!("amazon.pem")),
    ] {
        // SNS's own ended in October, so its age tells first.
        let word = if name.contains("real") { "certificate" } else { "signature" };
        forgeries.push(Forgery {
            pem,
            ..Forgery::new(name, draft().body(), word)
        });
    }
    forgeries
}

/// False in form, topic or age: no certificate is asked for.
fn by_form() -> Vec<Forgery> {
    let draft = Draft::delivery;
    let set = |name: &str, value: Value, word| {
        let title = format!("{name} = {value}");
        Forgery::new(&title, draft().set(name, value).signed().body(), word)
    };
    let text = String::from_utf8(draft().body()).unwrap();
    let twice = |member: &str| format!("{},{member}}}", text.trim_end_matches('}')).into_bytes();
    let mut forgeries = vec![
        set("SignatureVersion", json!("3"), "version"),
        set("SignatureVersion", json!("0"), "version"),
        set("SignatureVersion", json!("02"), "version"),
        set("SignatureVersion", json!("2 "), "version"),
        set("SignatureVersion", json!(""), "version"),
        set("SignatureVersion", json!(2), "version"),
        set("SignatureVersion", json!(["2"]), "version"),
        set("SignatureVersion", Value::Null, "version"),
        Forgery::new("no version", draft().without("SignatureVersion").body(), "version"),
        Forgery::new("no signature", draft().without("Signature").body(), "signature_form"),
        Forgery::new("an empty signature", draft().set("Signature", "").body(), "signature_form"),
        Forgery::new(
            "a signature that is no text",
            draft().set("Signature", json!([1])).body(),
            "signature_form",
        ),
        Forgery::new(
            "a signature that is not base64",
            draft().set("Signature", "not base64!").body(),
            "signature_form",
        ),
        Forgery::new(
            "a signature for URLs",
            draft().set("Signature", "-_-_".repeat(8)).body(),
            "signature_form",
        ),
        set("TopicArn", json!("arn:aws:sns:us-east-1:999999999999:ums-feedback"), "topic"),
        set("TopicArn", json!(format!("{TOPIC}-2")), "topic"),
        set("TopicArn", json!(format!("{TOPIC}:c9135db0")), "topic"),
        set("TopicArn", json!(TOPIC.to_uppercase()), "topic"),
        set("TopicArn", json!(TOPIC.replace("us-east-1", "us-east-2")), "topic"),
        set("TopicArn", json!(TOPIC.replace("arn:aws:", "arn:aws-cn:")), "topic"),
        set("TopicArn", json!(format!(" {TOPIC}")), "topic"),
        set("TopicArn", json!("*"), "topic"),
        set("TopicArn", json!([TOPIC]), "envelope"),
        set("TopicArn", Value::Null, "envelope"),
        set("Timestamp", json!("2026-11-22T08:00:02.000Z"), "timestamp"),
        set("Timestamp", json!("2026-11-22T10:30:02.000Z"), "timestamp"),
        set("Timestamp", json!("1970-01-01T00:00:00.000Z"), "timestamp"),
        set("Timestamp", json!("soon"), "timestamp"),
        set("Timestamp", json!(1_795_341_602), "envelope"),
        set("Type", json!("notification"), "envelope"),
        set("Type", json!("Other"), "envelope"),
        set("Type", Value::Null, "envelope"),
        set("Message", json!({"eventType": "Bounce"}), "envelope"),
        set("Message", Value::Null, "envelope"),
        set("MessageId", json!("a\nSubject\nb"), "envelope"),
        set("Subject", json!("a\nTimestamp\n2026-11-22T10:00:02.000Z"), "envelope"),
        set("Subject", json!(["a"]), "envelope"),
        Forgery::new("no Message", draft().without("Message").body(), "envelope"),
        Forgery::new("a second Message", twice(r#""Message":"{}""#), "envelope"),
        Forgery::new(
            "a second TopicArn",
            twice(r#""TopicArn":"arn:aws:sns:us-east-1:999999999999:a""#),
            "envelope",
        ),
        Forgery::new(
            "a second certificate's URL",
            twice(r#""SigningCertURL":"https://example.com/a.pem""#),
            "envelope",
        ),
        Forgery::new(
            "a second URL in escapes",
            twice(r#""Signing\u0043ertURL":"https://example.com/a.pem""#),
            "envelope",
        ),
        Forgery::new("a list", format!("[{text}]").into_bytes(), "envelope"),
        Forgery::new("something after it", format!("{text}{text}").into_bytes(), "envelope"),
        Forgery::new("an array that is deep", "[".repeat(100_000).into_bytes(), "envelope"),
        Forgery::new(
            "a field that is deep",
            format!(r#"{{"a":{}"#, "[".repeat(100_000)).into_bytes(),
            "envelope",
        ),
        Forgery::new("half of it", text.as_bytes()[..text.len() / 2].to_vec(), "envelope"),
        Forgery::new(
            "not UTF-8",
            text.replace("Delivery", "\u{fffd}")
                .bytes()
                .map(|byte| if byte == 0xef { 0xff } else { byte })
                .collect(),
            "envelope",
        ),
        Forgery::new("in UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect(), "envelope"),
        Forgery::new("nothing", Vec::new(), "envelope"),
        Forgery::new("a bare event", draft().text("Message").as_bytes().to_vec(), "envelope"),
        Forgery::new("a form", b"Type=Notification&Message=a".to_vec(), "envelope"),
        Forgery::new(
            "a huge one",
            draft().set("Message", "a".repeat(2_000_000)).signed().body(),
            "too_large",
        ),
    ];
    for name in ["Type", "MessageId", "TopicArn", "Timestamp"] {
        forgeries.push(Forgery::new(&format!("no {name}"), draft().without(name).body(), "envelope"));
    }
    let mut raw = Forgery::new("raw delivery", draft().text("Message").as_bytes().to_vec(), "raw_delivery");
    raw.request.headers.push(("x-amz-sns-rawdelivery".to_owned(), "true".to_owned()));
    let mut both = Forgery::new("an envelope delivered raw", draft().body(), "raw_delivery");
    both.request.headers.push(("x-amz-sns-rawdelivery".to_owned(), "true".to_owned()));
    forgeries.extend([raw, both]);
    for forgery in &mut forgeries {
        // The same word as for a signature that is wrong, told without a certificate.
        if forgery.word == "signature_form" {
            forgery.word = "signature";
            forgery.pem = "unasked";
        }
    }
    forgeries
}

/// Subscriptions that SNS would have signed, for URLs that nobody should open.
fn by_subscribe_url(port: u16) -> Vec<Forgery> {
    let token = Draft::subscription().text("Token").to_owned();
    let query = format!("?Action=ConfirmSubscription&TopicArn={TOPIC}&Token={token}");
    let good = "https://sns.us-east-1.amazonaws.com/";
    let urls = [
        format!("http://127.0.0.1:{port}/{query}"),
        format!("https://127.0.0.1:{port}/{query}"),
        format!("https://localhost:{port}/{query}"),
        format!("https://[::1]:{port}/{query}"),
        format!("https://[::ffff:127.0.0.1]:{port}/{query}"),
        format!("https://2130706433:{port}/{query}"),
        format!("https://sns.us-east-1.amazonaws.com@127.0.0.1:{port}/{query}"),
        format!("https://169.254.169.254/{query}"),
        format!("https://10.0.0.1/{query}"),
        format!("http://sns.us-east-1.amazonaws.com/{query}"),
        format!("https://sns.us-east-1.amazonaws.com:443/{query}"),
        format!("https://sns.us-west-2.amazonaws.com/{query}"),
        format!("https://sns.us-east-1.amazonaws.com.example.com/{query}"),
        format!("https://sns.us-east-1.amazonaws.com.cn/{query}"),
        format!("{good}a/{query}"),
        format!("{good}../{query}"),
        format!("{good}{query}#a"),
        format!("{good}{query}&AuthenticateOnUnsubscribe=true"),
        format!("{good}{query}&Action=DeleteTopic"),
        format!("{good}?Action=DeleteTopic&TopicArn={TOPIC}&Token={token}"),
        format!("{good}?Action=ConfirmSubscription&TopicArn={TOPIC}-2&Token={token}"),
        format!("{good}?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=another"),
        format!("{good}?Action=ConfirmSubscription&TopicArn={TOPIC}"),
        format!("{good}?action=ConfirmSubscription&TopicArn={TOPIC}&Token={token}"),
        good.to_owned(),
    ];
    let forgeries = urls.into_iter().map(|url| {
        let name = format!("subscription at {url:?}");
        Forgery::new(
            &name,
            Draft::subscription().set("SubscribeURL", url).signed().body(),
            "subscribe_url",
        )
    });
    let token = Draft::subscription().set("Token", "a&Action=DeleteTopic");
    let token = token.set(
        "SubscribeURL",
        format!("{good}?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=a&Action=DeleteTopic"),
    );
    forgeries
        .chain([Forgery::new("a token with another action", token.signed().body(), "subscribe_url")])
        .collect()
}

#[tokio::test]
async fn no_forgery_is_believed_and_none_makes_a_request() {
    let sink = Sink::start().await;
    let transport = sink.transport();
    let mut forgeries = by_url(sink.port);
    forgeries.extend(by_signature());
    forgeries.extend(by_form());
    forgeries.extend(by_subscribe_url(sink.port));
    assert!(forgeries.len() >= 60, "{}", forgeries.len());
    for forgery in &forgeries {
        let Forgery { name, request, pem, word } = forgery;
        let certificates = Counting::new(pem);
        let hook = AwsHook::new(settings(), certificates.clone(), Arc::clone(&transport)).unwrap();
        assert_eq!(hook.read(request).await, Err(HookFault::Refused(word)), "{name}");
        let asked = usize::from(forgery.needs_certificate() && *pem != "unasked");
        assert_eq!(certificates.asked(), asked, "{name}");
        if asked == 0 {
            let certificates = Arc::new(HttpCertificates::new(Arc::clone(&transport)));
            let hook = AwsHook::new(settings(), certificates, Arc::clone(&transport)).unwrap();
            assert_eq!(hook.read(request).await, Err(HookFault::Refused(word)), "{name}");
        }
    }
    assert_eq!(sink.seen(), 0, "requests were made");
    // The sink does see what is let through: the genuine certificate's URL.
    let hook = AwsHook::new(settings(), Arc::new(HttpCertificates::new(Arc::clone(&transport))), transport).unwrap();
    let outcome = hook.read(&super::bed::request(Draft::delivery().body(), NOW)).await;
    assert!(matches!(outcome, Err(HookFault::Unavailable(_))), "{outcome:?}");
    assert_eq!(sink.seen(), 1);
}
