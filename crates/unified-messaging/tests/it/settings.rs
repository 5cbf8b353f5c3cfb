//! Settings are checked together, under the names of the environment.

use tokio::io::AsyncReadExt as _;
use ums_core::ProviderKind;
use unified_messaging::{Error, UnifiedMessagingService};

#[tokio::test]
async fn everything_wrong_is_told_at_once_without_values() {
    let error = UnifiedMessagingService::builder()
        .setting("SENDGRID_API_KEY", "canary-key")
        .email_chain(&[ProviderKind::Smtp])
        .store_url("mysql://user:canary@db")
        .build()
        .await
        .unwrap_err();
    let Error::Config(config) = error else { panic!("{error}") };
    let text = config.to_string();
    for name in ["SENDGRID_FROM_EMAIL", "SMTP_HOST", "UMS_DATABASE_URL"] {
        assert!(text.contains(name), "{text}");
    }
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn a_proxy_that_is_set_is_never_passed_by() {
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ums.toml");
    std::fs::write(&file, format!("[http]\nproxy = \"http://{}\"\n", proxy.local_addr().unwrap())).unwrap();
    let asked = tokio::spawn(async move {
        let (mut caller, _) = proxy.accept().await.unwrap();
        let mut asked = vec![0; 31];
        caller.read_exact(&mut asked).await.unwrap();
        String::from_utf8(asked).unwrap()
    });
    let builder = UnifiedMessagingService::builder().sendgrid("SG.key", "shop@example.com");
    let service = builder.setting("UMS_CONFIG", file.to_str().unwrap()).build().await.unwrap();
    let email = unified_messaging::SendEmail::new("customer@example.com", "Your receipt").text("Thank you");
    let result = service.send_email(email).await.unwrap();
    assert_eq!(asked.await.unwrap(), "CONNECT api.sendgrid.com:443 HT");
    assert_eq!(result.attempts[0].code.as_deref(), Some("proxy"), "{result:?}");
    assert_eq!(result.attempts[0].class, Some(unified_messaging::FailureClass::Unavailable));
    service.shutdown().await;
}

#[tokio::test]
async fn without_any_provider_sending_says_so() {
    let service = UnifiedMessagingService::builder().build().await.unwrap();
    let health = service.get_provider_health();
    assert!(
        health
            .not_configured
            .iter()
            .any(|left| left.provider == ProviderKind::Smtp && left.missing.contains(&"SMTP_HOST".to_owned()))
    );
    let error = service
        .send_sms(unified_messaging::SendSms::new("+14165550123", "Hello"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoProvider(_)), "{error}");
    service.shutdown().await;
}

#[test]
fn nothing_given_is_shown() {
    let builder = UnifiedMessagingService::builder().sendgrid("SG.canary", "canary@example.com");
    assert!(!format!("{builder:?}").contains("canary"));
}
