//! Which providers are configured, in which order, and what the others lack.

use ums_config::{AwsCredentialSource, SmtpTls};
use ums_core::ProviderKind::{AwsSes, AwsSns, Console, SendGrid, Smtp, Twilio};
use ums_core::{EmailAddress, ProviderKind};

use crate::{names, read, read_changed};

#[test]
fn a_complete_set_gives_both_chains() {
    let settings = read_changed(&[]).unwrap();
    assert_eq!(settings.email_chain, [AwsSes, SendGrid, Smtp]);
    assert_eq!(settings.sms_chain, [AwsSns, Twilio]);
    assert!(settings.not_configured.is_empty() && settings.warnings.is_empty() && !settings.console);
    let ses = settings.ses.unwrap();
    assert_eq!(
        (ses.from.name.as_deref(), ses.from.address.expose()),
        (Some("Example Shop"), "noreply@example.com")
    );
    assert_eq!(settings.sendgrid.unwrap().api_url.as_str(), "https://api.sendgrid.com");
    assert_eq!(settings.twilio.unwrap().phone_number.as_deref(), Some("+15551234567"));
    assert_eq!(settings.smtp.unwrap().login.unwrap().password.expose(), "canary smtp password");
}

#[test]
fn without_settings_every_provider_is_left_out_and_says_what_it_lacks() {
    let settings = read(&[]).unwrap();
    assert!(settings.email_chain.is_empty() && settings.sms_chain.is_empty());
    let lacking: Vec<_> = settings
        .not_configured
        .iter()
        .map(|left_out| (left_out.provider, left_out.missing.join(" ")))
        .collect();
    assert_eq!(
        lacking,
        [
            (AwsSes, "AWS_SES_FROM_EMAIL AWS_REGION".to_owned()),
            (SendGrid, "SENDGRID_API_KEY SENDGRID_FROM_EMAIL".to_owned()),
            (Smtp, "SMTP_HOST SMTP_USER SMTP_PASSWORD SMTP_FROM_EMAIL".to_owned()),
            (AwsSns, "AWS_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY".to_owned()),
            (Twilio, "TWILIO_ACCOUNT_SID TWILIO_AUTH_TOKEN TWILIO_PHONE_NUMBER".to_owned()),
        ]
    );
}

#[test]
fn console_serves_in_development_or_when_named() {
    let check = |pairs: &[(&str, &str)], chain: &[ProviderKind]| assert_eq!(read(pairs).unwrap().sms_chain, chain, "{pairs:?}");
    check(&[("UMS_ENV", "production")], &[]);
    check(&[("UMS_ENV", "development")], &[Console]);
    check(&[("UMS_SMS_CHAIN", "console")], &[Console]);
    assert_eq!(read(&[("UMS_SMS_CHAIN", "console")]).unwrap().warnings.len(), 1);
    let without = read_changed(&[("UMS_ENV", "development"), ("UMS_SMS_CHAIN", "twilio")]).unwrap();
    assert_eq!((without.sms_chain, without.console), (vec![Twilio], false));
}

#[test]
fn a_chain_that_names_a_provider_asks_for_its_settings() {
    let check = |chain: (&str, &str), missing: &[&str]| assert_eq!(names(&read(&[chain]).unwrap_err()), missing, "{chain:?}");
    check(
        ("UMS_EMAIL_CHAIN", "smtp"),
        &["SMTP_HOST", "SMTP_USER", "SMTP_PASSWORD", "SMTP_FROM_EMAIL"],
    );
    check(("UMS_EMAIL_CHAIN", "sendgrid"), &["SENDGRID_API_KEY", "SENDGRID_FROM_EMAIL"]);
    check(("UMS_EMAIL_CHAIN", "aws_ses"), &["AWS_SES_FROM_EMAIL", "AWS_REGION"]);
    check(("UMS_SMS_CHAIN", "aws_sns"), &["AWS_REGION"]);
    check(
        ("UMS_SMS_CHAIN", "twilio,console"),
        &["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER"],
    );
    let reordered = read_changed(&[("UMS_EMAIL_CHAIN", " smtp, aws_ses "), ("UMS_SMS_CHAIN", "twilio,aws_sns")]).unwrap();
    assert_eq!(
        (reordered.email_chain, reordered.sms_chain),
        (vec![Smtp, AwsSes], vec![Twilio, AwsSns])
    );
}

#[test]
fn sns_needs_a_region_and_a_credential_source_or_its_name() {
    let check = |pairs: &[(&str, &str)], source: Option<AwsCredentialSource>, configured: bool| {
        let settings = read(pairs).unwrap();
        assert_eq!(
            (settings.aws.credential_source, settings.sns.is_some()),
            (source, configured),
            "{pairs:?}"
        );
    };
    let region = ("AWS_REGION", "us-east-1");
    let keys = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "y")];
    check(&[region], None, false);
    check(&keys, Some(AwsCredentialSource::Keys), false);
    check(&[region, keys[0], keys[1]], Some(AwsCredentialSource::Keys), true);
    check(
        &[("AWS_DEFAULT_REGION", "eu-west-1"), keys[0], keys[1]],
        Some(AwsCredentialSource::Keys),
        true,
    );
    check(
        &[region, ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x")],
        Some(AwsCredentialSource::Container),
        true,
    );
    let web = [
        region,
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/x"),
    ];
    check(&web, Some(AwsCredentialSource::WebIdentity), true);
    check(&[region, ("UMS_SMS_CHAIN", "aws_sns")], None, true);
}

#[test]
fn aws_files_give_region_and_credentials() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    std::fs::write(
        home.path().join(".aws/config"),
        "[default]\nregion = ca-central-1\n[profile shop]\nregion=eu-west-1\n",
    )
    .unwrap();
    std::fs::write(
        home.path().join(".aws/credentials"),
        "[default]\naws_access_key_id = a\naws_secret_access_key = canary\n",
    )
    .unwrap();
    let home = ("HOME", home.path().to_str().unwrap());
    let settings = read(&[home]).unwrap();
    assert_eq!(settings.aws.region.as_deref(), Some("ca-central-1"));
    assert_eq!(settings.aws.credential_source, Some(AwsCredentialSource::Profile));
    assert_eq!(settings.origin("AWS_REGION").as_str(), "aws files");
    assert!(settings.sns.is_some() && settings.ses.is_none());
    let shop = read(&[home, ("AWS_PROFILE", "shop"), ("AWS_SES_FROM_EMAIL", "a@example.com")]).unwrap();
    assert_eq!((shop.aws.region.as_deref(), shop.ses.is_some()), (Some("eu-west-1"), true));
    assert_eq!(
        read(&[home, ("AWS_REGION", "us-west-2")]).unwrap().aws.region.as_deref(),
        Some("us-west-2")
    );
}

#[test]
fn endpoints_fall_back_to_the_common_one() {
    let settings = read_changed(&[
        ("AWS_ENDPOINT_URL", "http://localhost:4566/"),
        ("AWS_ENDPOINT_URL_SNS", "http://localhost:8083"),
    ])
    .unwrap();
    let endpoints = settings.aws.endpoints;
    assert_eq!(endpoints.ses.unwrap().as_str(), "http://localhost:4566");
    assert_eq!(endpoints.sns.unwrap().as_str(), "http://localhost:8083");
}

#[test]
fn smtp_encryption_follows_port_and_place() {
    let check = |changes: &[(&str, &str)], tls: SmtpTls| assert_eq!(read_changed(changes).unwrap().smtp.unwrap().tls, tls, "{changes:?}");
    check(&[], SmtpTls::StartTls);
    check(&[("SMTP_PORT", "465")], SmtpTls::Implicit);
    check(&[("SMTP_PORT", "2525")], SmtpTls::StartTls);
    check(&[("SMTP_PORT", "2525"), ("SMTP_HOST", "127.0.0.1")], SmtpTls::None);
    check(&[("SMTP_HOST", "localhost")], SmtpTls::StartTls);
    check(&[("SMTP_PORT", "2525"), ("SMTP_TLS", "none")], SmtpTls::None);
    let warned = read_changed(&[("SMTP_PORT", "2525"), ("SMTP_TLS", "none")]).unwrap().warnings;
    assert_eq!(warned.len(), 1);
    let local = read(&[
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_PORT", "2525"),
        ("SMTP_FROM_EMAIL", "a@example.com"),
    ])
    .unwrap()
    .smtp
    .unwrap();
    assert!(local.login.is_none() && local.is_loopback());
}

#[test]
fn senders_cover_their_domain_or_what_the_file_lists() {
    let covers = |settings: &ums_config::Settings, address: &str| {
        let address = EmailAddress::parse(address).unwrap();
        let by = |rules: &[ums_config::SenderRule]| rules.iter().any(|rule| rule.covers(&address));
        (
            by(&settings.ses.as_ref().unwrap().senders),
            by(&settings.smtp.as_ref().unwrap().senders),
        )
    };
    let settings = read_changed(&[]).unwrap();
    assert_eq!(covers(&settings, "sales@example.com"), (true, false));
    assert_eq!(covers(&settings, "shop@gmail.com"), (false, true));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ums.toml");
    std::fs::write(&file, "[senders]\naws_ses = ['news@example.org']\n").unwrap();
    let listed = read_changed(&[("UMS_CONFIG", file.to_str().unwrap())]).unwrap();
    assert!(covers(&listed, "news@example.org").0 && covers(&listed, "noreply@example.com").0);
    assert!(!covers(&listed, "sales@example.com").0);
}

#[test]
fn twilio_takes_number_service_or_both_and_derives_its_callback() {
    let both = read_changed(&[
        ("TWILIO_MESSAGING_SERVICE_SID", "MG0123"),
        ("UMS_PUBLIC_URL", "https://ums.example.com/"),
    ])
    .unwrap()
    .twilio
    .unwrap();
    assert_eq!(both.messaging_service_sid.as_deref(), Some("MG0123"));
    assert_eq!(both.status_callback.unwrap().as_str(), "https://ums.example.com/hooks/twilio");
    let service = read_changed(&[("TWILIO_MESSAGING_SERVICE_SID", "MG0123"), ("TWILIO_PHONE_NUMBER", "")])
        .unwrap()
        .twilio
        .unwrap();
    assert_eq!((service.phone_number, service.status_callback), (None, None));
    let toll_free = read_changed(&[("TWILIO_PHONE_NUMBER", "+1 (833) 555-0100")])
        .unwrap()
        .twilio
        .unwrap();
    assert_eq!(toll_free.phone_number.as_deref(), Some("+18335550100"));
}
