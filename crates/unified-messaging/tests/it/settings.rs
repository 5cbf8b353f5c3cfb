//! Settings are checked together, under the names of the environment.

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
async fn a_proxy_is_refused_rather_than_passed_by() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ums.toml");
    std::fs::write(&file, "[http]\nproxy = \"http://proxy.internal:3128\"\n").unwrap();
    let builder = UnifiedMessagingService::builder().sendgrid("SG.key", "shop@example.com");
    let error = builder.setting("UMS_CONFIG", file.to_str().unwrap()).build().await.unwrap_err();
    assert!(error.to_string().contains("http.proxy"), "{error}");
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
