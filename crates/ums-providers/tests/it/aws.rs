//! Credentials, region, clock skew and expired tokens.

use std::sync::Arc;

use ums_core::{Clock, FailureClass, Monotonic, Probe, Provider, Secret, Timestamp};
use ums_providers::send::{IdentityVerification, Ses, SesSettings};
use ums_providers::{AwsCredentials, Transport, TransportSettings};

use crate::bed::{self, Bed, transport};
use crate::fault_server::{Act, FaultServer, answer};

const ACCEPTED: &str = r#"{"MessageId":"the-id"}"#;

/// A clock that stands still.
#[derive(Debug)]
struct Stopped(Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
    fn monotonic(&self) -> Monotonic {
        Monotonic::default()
    }
}

fn ses_at(url: &str, time: &str) -> Ses {
    let clock = Stopped(Timestamp::parse_rfc3339(time).unwrap());
    bed::ses(url, &Transport::new(TransportSettings::default(), Arc::new(clock)))
}

fn signed_at(request: &str) -> &str {
    request.lines().find_map(|line| line.strip_prefix("x-amz-date: ")).unwrap()
}

#[tokio::test]
async fn requests_are_signed_for_service_region_and_time() {
    let server = FaultServer::start(vec![Act::Answer(answer("200 OK", &[], ACCEPTED))]).await;
    ses_at(&server.url(), "2026-11-22T10:00:00Z").send_one().await.unwrap();
    let request = &server.requests()[0];
    assert_eq!(signed_at(request), "20261122T100000Z");
    let authorization = request.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIACANARYKEY/20261122/us-east-1/ses/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="), "{authorization}");
    assert!(request.contains("x-amz-security-token: canarytoken\r\n"));
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_once_from_the_answer() {
    let skewed = answer(
        "403 Forbidden",
        &["x-amzn-errortype: InvalidSignatureException", "date: Sun, 22 Nov 2026 12:00:00 GMT"],
        r#"{"message":"Signature expired: 20261122T100000Z is now earlier than 20261122T115500Z"}"#,
    );
    let server = FaultServer::start(vec![Act::Answer(skewed), Act::Answer(answer("200 OK", &[], ACCEPTED))]).await;
    let ses = ses_at(&server.url(), "2026-11-22T10:00:00Z");
    assert_eq!(ses.send_one().await.unwrap().provider_message_id, "the-id");
    ses.send_one().await.unwrap();
    let times: Vec<String> = server.requests().iter().map(|request| signed_at(request).to_owned()).collect();
    assert_eq!(times, ["20261122T100000Z", "20261122T120000Z", "20261122T120000Z"]);
}

#[tokio::test]
async fn a_wrong_key_is_not_taken_for_a_wrong_clock() {
    let refused = answer(
        "403 Forbidden",
        &["x-amzn-errortype: InvalidSignatureException", "date: Sun, 22 Nov 2026 10:00:05 GMT"],
        r#"{"message":"The request signature we calculated does not match the signature you provided."}"#,
    );
    let server = FaultServer::start(vec![Act::Answer(refused)]).await;
    let failure = ses_at(&server.url(), "2026-11-22T10:00:00Z").send_one().await.unwrap_err();
    assert_eq!(
        (failure.class, &*failure.code),
        (FailureClass::Misconfigured, "InvalidSignatureException")
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn given_keys_that_expired_are_not_tried_again() {
    let expired = answer(
        "403 Forbidden",
        &["x-amzn-errortype: ExpiredTokenException"],
        r#"{"message":"expired"}"#,
    );
    let server = FaultServer::start(vec![Act::Answer(expired)]).await;
    let failure = bed::ses(&server.url(), &transport()).send_one().await.unwrap_err();
    assert_eq!(
        (failure.class, &*failure.code),
        (FailureClass::Misconfigured, "ExpiredTokenException")
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_region_that_is_none_is_said_so() {
    let settings = SesSettings {
        region: Some("us east/1".to_owned()),
        from: bed::mailbox("hello@shop.example"),
        senders: Vec::new(),
        configuration_set: None,
        base_url: None,
        credentials: AwsCredentials::given("AKIA", &Secret::new("s"), None),
    };
    let failure = Ses::new(settings, &transport()).unwrap().send_one().await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Misconfigured);
    assert!(failure.detail.contains("AWS_REGION"), "{failure:?}");
}

#[tokio::test]
async fn probes_ask_without_sending() {
    let account = r#"{"SendingEnabled":true,"EnforcementStatus":"HEALTHY","ProductionAccessEnabled":true}"#;
    let server = FaultServer::start(vec![Act::Answer(answer("200 OK", &[], account))]).await;
    assert_eq!(bed::ses(&server.url(), &transport()).probe().await, Probe::Healthy);
    assert!(
        server.requests()[0].starts_with("GET /v2/email/account HTTP/1.1\r\n"),
        "{}",
        server.requests()[0]
    );
    let down = crate::fault_server::closed_url().await;
    assert!(matches!(bed::ses(&down, &transport()).probe().await, Probe::Failed(failure) if failure.class == FailureClass::Unavailable));
}

#[tokio::test]
async fn a_sender_is_registered_and_asked_after() {
    let pending = r#"{"IdentityType":"EMAIL_ADDRESS","VerifiedForSendingStatus":false,"DkimAttributes":{"Tokens":[]}}"#;
    let verified = r#"{"IdentityType":"EMAIL_ADDRESS","VerifiedForSendingStatus":true,"VerificationStatus":"SUCCESS"}"#;
    let exists = r#"{"message":"Email identity hello@shop.example already exist."}"#;
    let server = FaultServer::start(vec![
        Act::Answer(answer("200 OK", &[], pending)),
        Act::Answer(answer("400 Bad Request", &["x-amzn-errortype: AlreadyExistsException"], exists)),
        Act::Answer(answer("200 OK", &[], verified)),
        Act::Answer(answer("404 Not Found", &["x-amzn-errortype: NotFoundException"], "{}")),
        Act::Answer(answer("403 Forbidden", &["x-amzn-errortype: AccessDeniedException"], "{}")),
    ])
    .await;
    let ses = bed::ses(&server.url(), &transport());
    assert_eq!(
        ses.create_identity("hello@shop.example").await.unwrap().verification,
        IdentityVerification::Pending
    );
    assert_eq!(
        ses.create_identity("hello@shop.example").await.unwrap().verification,
        IdentityVerification::Verified
    );
    assert_eq!(
        ses.identity_status("hello@shop.example").await.unwrap().verification,
        IdentityVerification::NotFound
    );
    assert_eq!(ses.identity_status("x").await.unwrap_err().class, FailureClass::Misconfigured);
    let requests = server.requests();
    assert!(requests[0].starts_with("POST /v2/email/identities ") && requests[0].ends_with(r#"{"EmailIdentity":"hello@shop.example"}"#));
    assert!(requests[2].starts_with("GET /v2/email/identities/hello%40shop.example "));
}
