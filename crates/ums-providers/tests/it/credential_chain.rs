//! AWS's default chain, each source in a process with that environment and no other.

use std::path::Path;
use std::process::Command;

use ums_core::FailureClass;
use ums_providers::AwsCredentials;
use ums_providers::send::{Ses, SesSettings};

use crate::bed::{self, Bed, transport};
use crate::fault_server::{Act, FaultServer, answer};

/// The key id that each source hands out.
const KEY: &str = "AKIDFROMTHECHAIN";

/// Sends one e-mail in a process with this environment; gives back what SES was shown.
async fn sent_with(environment: &[(&str, &str)]) -> Vec<String> {
    let ses = FaultServer::start(vec![Act::Answer(answer("200 OK", &[], r#"{"MessageId":"the-id"}"#))]).await;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "credential_chain::child", "--ignored", "--nocapture"])
        .env_clear();
    command
        .env("UMS_TEST_SES", ses.url())
        .env("HOME", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command.envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("secretfromthechain"), "{text}");
    ses.requests()
}

#[tokio::test]
#[ignore = "run by the tests below, in a process with their environment"]
#[expect(clippy::disallowed_methods, reason = "the parent process says where SES is")]
async fn child() {
    let settings = SesSettings {
        region: std::env::var("UMS_TEST_NO_REGION").is_err().then(|| "us-east-1".to_owned()),
        from: bed::mailbox("hello@shop.example"),
        senders: Vec::new(),
        configuration_set: None,
        base_url: std::env::var("UMS_TEST_SES").ok(),
        credentials: AwsCredentials::default_chain(std::env::var("UMS_TEST_PROFILE").ok()),
    };
    let ses = Ses::new(settings, &transport()).unwrap();
    let outcomes = tokio::join!(ses.send_one(), ses.send_one(), ses.send_one());
    let outcome = outcomes.0;
    if std::env::var("UMS_TEST_NONE").is_ok() {
        let failure = outcome.unwrap_err();
        assert_eq!((failure.class, &*failure.code), (FailureClass::Misconfigured, "aws_credentials"));
        assert!(
            failure.detail.contains("AWS_ACCESS_KEY_ID") && failure.detail.contains("aws configure"),
            "{failure:?}"
        );
    } else {
        outcome.unwrap();
    }
}

fn check(requests: &[String], region: &str) {
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert!(
            request.contains(&format!("Credential={KEY}/")) && request.contains(&format!("/{region}/ses/aws4_request")),
            "{request}"
        );
    }
}

const METADATA_CREDENTIALS: &str = r#"{"Code":"Success","Type":"AWS-HMAC","LastUpdated":"2026-11-22T10:00:00Z","AccessKeyId":"AKIDFROMTHECHAIN","SecretAccessKey":"secretfromthechain","Token":"t","Expiration":"2099-01-01T00:00:00Z"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn keys_from_the_environment() {
    let requests = sent_with(&[("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", "secretfromthechain")]).await;
    check(&requests, "us-east-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_region_from_the_files_of_aws_configure() {
    let home = std::env::temp_dir().join(format!("ums-providers-{}", std::process::id()));
    let aws = home.join(".aws");
    std::fs::create_dir_all(&aws).unwrap();
    let write = |name: &str, text: &str| std::fs::write(Path::new(&aws).join(name), text).unwrap();
    write(
        "credentials",
        "[shop]\naws_access_key_id = AKIDFROMTHECHAIN\naws_secret_access_key = secretfromthechain\n",
    );
    write("config", "[profile shop]\nregion = eu-west-1\n");
    let home_text = home.to_str().unwrap();
    check(&sent_with(&[("HOME", home_text), ("AWS_PROFILE", "shop")]).await, "us-east-1");
    check(
        &sent_with(&[("HOME", home_text), ("UMS_TEST_PROFILE", "shop"), ("UMS_TEST_NO_REGION", "1")]).await,
        "eu-west-1",
    );
    std::fs::remove_dir_all(&home).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_from_a_container_are_fetched_once_for_all_that_wait() {
    let metadata = FaultServer::start(vec![Act::Answer(answer(
        "200 OK",
        &["content-type: application/json"],
        METADATA_CREDENTIALS,
    ))])
    .await;
    let url = format!("{}/role", metadata.url());
    check(&sent_with(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]).await, "us-east-1");
    assert_eq!(metadata.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_from_the_instance() {
    let metadata = FaultServer::start(vec![
        Act::Answer(answer("200 OK", &["x-aws-ec2-metadata-token-ttl-seconds: 21600"], "token")),
        Act::Answer(answer("200 OK", &[], "role")),
        Act::Answer(answer("200 OK", &["content-type: application/json"], METADATA_CREDENTIALS)),
    ])
    .await;
    let url = metadata.url();
    let requests = sent_with(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url), ("AWS_EC2_METADATA_DISABLED", "false")]).await;
    check(&requests, "us-east-1");
    assert!(metadata.requests()[0].starts_with("PUT /latest/api/token "));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_source_is_misconfigured_with_words_that_help() {
    assert!(sent_with(&[("UMS_TEST_NONE", "1")]).await.is_empty());
}
