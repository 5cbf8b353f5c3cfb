//! URLs that nobody should open: of certificates, and of subscriptions.

use serde_json::{Value, json};

use super::super::bed::{CERTIFICATE_URL, Draft, TOPIC};
use super::Forgery;

/// Hosts that are not SNS's in the topic's region.
const HOSTS: &[&str] = &[
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
];

/// Paths that are no certificates.
const PATHS: &[&str] = &[
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
];

/// URLs of certificates that are not SNS's in the topic's region; those of this machine lead to the sink's port.
fn certificate_urls(port: u16) -> Vec<String> {
    let file = "SimpleNotificationService-0123456789abcdef.pem";
    let mut urls: Vec<String> = HOSTS.iter().map(|root| format!("{root}/{file}")).collect();
    urls.extend(PATHS.iter().map(|path| format!("https://sns.us-east-1.amazonaws.com{path}")));
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

pub(super) fn certificates(port: u16) -> Vec<Forgery> {
    let refused = |name: &str, draft: &Draft| Forgery::without_certificate(name, draft.body(), "certificate_url");
    let set = |value: Value| Draft::delivery().set("SigningCertURL", value);
    let urls = certificate_urls(port).into_iter();
    let mut forgeries: Vec<Forgery> = urls
        .map(|url| refused(&format!("certificate at {url:?}"), &set(json!(url))))
        .collect();
    forgeries.extend([
        refused("null as URL", &set(Value::Null)),
        refused("a list of URLs", &set(json!([CERTIFICATE_URL]))),
        refused("an object as URL", &set(json!({"url": CERTIFICATE_URL}))),
        refused("a number as URL", &set(json!(1))),
        refused(
            "both spellings",
            &Draft::delivery().set("SigningCertUrl", format!("http://127.0.0.1:{port}/a.pem")),
        ),
        refused("URL left out", &Draft::delivery().without("SigningCertURL")),
    ]);
    forgeries
}

/// Subscriptions that SNS would have signed.
pub(super) fn subscriptions(port: u16) -> Vec<Forgery> {
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
    let refused = |name: &str, draft: Draft| Forgery::new(name, draft.signed().body(), "subscribe_url");
    let mut forgeries: Vec<Forgery> = urls
        .into_iter()
        .map(|url| refused(&format!("subscription at {url:?}"), Draft::subscription().set("SubscribeURL", url)))
        .collect();
    let token = Draft::subscription().set("Token", "a&Action=DeleteTopic");
    let url = format!("{good}?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=a&Action=DeleteTopic");
    forgeries.push(refused("a token with another action", token.set("SubscribeURL", url)));
    forgeries
}
