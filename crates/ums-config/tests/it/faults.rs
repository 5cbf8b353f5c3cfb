//! Each fault is found and named; all of them at once.

use proptest::prelude::*;
use ums_config::env::SETTINGS;

use crate::{names, read, read_changed};

#[test]
fn each_wrong_value_is_named_and_never_shown() {
    let check = |name: &str, value: &str| {
        let error = read_changed(&[(name, value)]).map(|_| ()).expect_err(name);
        assert_eq!(names(&error), [name], "{name}={value}");
        assert!(value.len() < 3 || !error.to_string().contains(value), "{error}");
    };
    check("UMS_ENV", "staging");
    check("UMS_LISTEN", "example.com:80");
    check("UMS_LISTEN", "10.1.2.3");
    check("UMS_LISTEN", "127.0.0.1:99999");
    check("UMS_PUBLIC_URL", "ums.example.com");
    check("UMS_PUBLIC_URL", "https://user:password@ums.example.com");
    check("UMS_API_KEY", "two words");
    check("UMS_SECRET_KEY", "too-short");
    check("UMS_SECRET_KEY", "long-enough-as-a-key,too-short");
    check("UMS_DATABASE_URL", "mysql://canary");
    check("UMS_DATABASE_URL", "postgres://ums:canary@db.example.com");
    check("UMS_DATABASE_URL", "postgres://ums:canary@db.example.com/");
    check("UMS_DATABASE_URL", "postgres://ums:can/ary@db.example.com/ums");
    check("UMS_DATABASE_URL", "postgres://ums:can#ary@db.example.com/ums");
    check("UMS_DATABASE_URL", "postgres://ums:canary@db.example.com:port/ums");
    check("UMS_LOG_FORMAT", "xml");
    check("UMS_DEFAULT_REGION", "USA");
    check("UMS_DEFAULT_REGION", "Q7");
    check("UMS_SMS_COUNTRIES", "US,XQ9");
    check("UMS_ALLOW_RECIPIENTS", "me@example.com,nonsense");
    check("UMS_AWS_TOPIC_ARNS", "arn:aws:sqs:us-east-1:1:x");
    check("UMS_EMAIL_CHAIN", "aws_ses,mailgun");
    check("UMS_EMAIL_CHAIN", "aws_ses,twilio");
    check("UMS_EMAIL_CHAIN", "smtp,smtp");
    check("UMS_EMAIL_CHAIN", ",");
    check("UMS_SMS_CHAIN", "sendgrid,twilio");
    check("UMS_CONFIG", "/nowhere/ums.toml");
    check("AWS_REGION", "us east");
    check("AWS_REGION", "evil.example/x-y-z");
    check("AWS_ENDPOINT_URL", "localhost:4566");
    check("AWS_ENDPOINT_URL_SNS", "ftp://localhost");
    for endpoint in [
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_SESV2",
        "AWS_ENDPOINT_URL_SNS",
        "SENDGRID_API_URL",
        "TWILIO_API_URL",
    ] {
        check(endpoint, "http://canary.example");
    }
    check("AWS_SES_FROM_EMAIL", "noreply");
    check("AWS_SES_FROM_EMAIL", "noreply@localhost");
    check("AWS_SES_FROM_NAME", "Shop\r\nBcc: x@example.com");
    check("AWS_SES_CONFIGURATION_SET", "two words");
    check("AWS_SNS_SENDER_ID", "TwelveLetter");
    check("AWS_SNS_SENDER_ID", "123");
    check("SENDGRID_API_KEY", "SG.grün");
    check("SENDGRID_API_KEY", "a\nb");
    check("SENDGRID_API_URL", "https://:443/x");
    check("TWILIO_ACCOUNT_SID", "AC/../x");
    check("TWILIO_ACCOUNT_SID", "SK0123");
    check("TWILIO_PHONE_NUMBER", "4165550123");
    check("TWILIO_PHONE_NUMBER", "+1555abc4567");
    check("TWILIO_MESSAGING_SERVICE_SID", "AC0123");
    check("SMTP_HOST", "smtp://gmail");
    check("SMTP_HOST", "smtp.gmail.com:587");
    check("SMTP_PORT", "0");
    check("SMTP_PORT", "70000");
    check("SMTP_TLS", "yes");
    for name in [
        "localhost",
        "srv1",
        "my_app.example.com",
        "203.0.113.7",
        "[203.0.113]",
        "[2001:db8::5]",
        "mail.example.com\r\nRSET",
    ] {
        check("SMTP_HELO_NAME", name);
    }
    check("SMTP_FROM_EMAIL", "a b@example.com");
}

#[test]
fn half_a_configuration_names_all_that_is_missing() {
    let check = |set: &[(&str, &str)], missing: &[&str]| {
        let error = read(set).map(|_| ()).expect_err(&format!("{set:?}"));
        assert_eq!(names(&error), missing, "{set:?}");
        assert!(error.faults.iter().all(|fault| fault.reason.starts_with("is missing: ")), "{error}");
    };
    check(&[("AWS_SES_FROM_EMAIL", "a@example.com")], &["AWS_REGION"]);
    check(&[("AWS_ACCESS_KEY_ID", "x")], &["AWS_SECRET_ACCESS_KEY"]);
    check(&[("AWS_SECRET_ACCESS_KEY", "x")], &["AWS_ACCESS_KEY_ID"]);
    check(&[("AWS_SESSION_TOKEN", "x")], &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    check(&[("AWS_SNS_SENDER_ID", "Shop")], &["AWS_REGION"]);
    check(&[("SENDGRID_API_KEY", "x")], &["SENDGRID_FROM_EMAIL"]);
    check(&[("SENDGRID_FROM_EMAIL", "a@example.com")], &["SENDGRID_API_KEY"]);
    check(&[("TWILIO_ACCOUNT_SID", "AC1")], &["TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER"]);
    check(
        &[("TWILIO_AUTH_TOKEN", "x"), ("TWILIO_PHONE_NUMBER", "+15551234567")],
        &["TWILIO_ACCOUNT_SID"],
    );
    check(
        &[("TWILIO_PHONE_NUMBER", "+15551234567")],
        &["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"],
    );
    check(
        &[("SMTP_HOST", "mail.example.com")],
        &["SMTP_USER", "SMTP_PASSWORD", "SMTP_FROM_EMAIL"],
    );
    check(
        &[("SMTP_HOST", "127.0.0.1"), ("SMTP_USER", "x")],
        &["SMTP_PASSWORD", "SMTP_FROM_EMAIL"],
    );
    check(&[("SMTP_HOST", "localhost")], &["SMTP_FROM_EMAIL"]);
    check(&[("SMTP_PASSWORD", "x")], &["SMTP_HOST", "SMTP_USER", "SMTP_FROM_EMAIL"]);
}

#[test]
fn settings_at_odds_are_refused() {
    let port = read_changed(&[("SMTP_PORT", "465"), ("SMTP_TLS", "starttls")]).expect_err("465 is implicit");
    assert_eq!(names(&port), ["SMTP_TLS"]);
    let profile =
        read_changed(&[("AWS_PROFILE", "shop"), ("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")]).expect_err("no such profile");
    assert_eq!(names(&profile), ["AWS_PROFILE"]);
}

#[test]
fn all_faults_come_together() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ums.toml");
    std::fs::write(
        &file,
        "[breaker]\nfailures = 0\nopen = '10m'\nmax_open = '1m'\n[breaker.smtp]\nwindow = 60\n[pace.smtp]\nper_day = 'many'\n\
         [retry]\nschedule = []\notp_schedule = ['1s', 'soon']\n[prices]\naws_ses_per_recipient = 'cheap'\n\
         [limits]\nwait = '31s'\nunknown = 1\n[senders]\nsmtp = ['no domain']\n[http]\nproxy = 'proxy'\n",
    )
    .unwrap();
    let error = read(&[
        ("UMS_CONFIG", file.to_str().unwrap()),
        ("UMS_ENV", "test"),
        ("SMTP_HOST", "mail.example.com"),
        ("SENDGRID_API_KEY", "x"),
        ("UMS_SMS_CHAIN", "twilio"),
    ])
    .expect_err("everything is wrong");
    let mut found = names(&error);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "SENDGRID_FROM_EMAIL",
            "SMTP_FROM_EMAIL",
            "SMTP_PASSWORD",
            "SMTP_USER",
            "TWILIO_ACCOUNT_SID",
            "TWILIO_AUTH_TOKEN",
            "TWILIO_PHONE_NUMBER",
            "UMS_ENV",
            "breaker.failures",
            "breaker.max_open",
            "breaker.smtp.window",
            "http.proxy",
            "limits.unknown",
            "limits.wait",
            "pace.smtp.per_day",
            "prices.aws_ses_per_recipient",
            "retry.otp_schedule[1]",
            "retry.schedule",
            "senders.smtp[0]",
        ]
    );
}

#[test]
fn misspelt_names_are_pointed_out() {
    let settings = read(&[("UMS_LISTENS", "x"), ("UMS_SERVICE_HOST", "10.0.0.1"), ("OTHER", "x")]).unwrap();
    let warnings: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "UMS_LISTENS is not a setting and has no effect; did you mean UMS_LISTEN?",
            "UMS_SERVICE_HOST is not a setting and has no effect",
        ]
    );
}

proptest! {
    #[test]
    fn no_value_panics(values in prop::collection::vec((0..SETTINGS.len(), "\\PC{0,40}|[a-z0-9@.:/,+-]{0,40}|[\\x00-\\x1f]{0,3}"), 0..12)) {
        let pairs: Vec<(&str, &str)> = values.iter().map(|(at, value)| (SETTINGS[*at].name, value.as_str())).collect();
        drop(read(&pairs));
        drop(read_changed(&pairs));
    }

    #[test]
    fn no_file_panics(text in "(\\[[a-z_.]{1,12}\\]\n|[a-z_]{1,10} = ('\\PC{0,5}'|[0-9]{1,12}|\\[\\]|\\{\\})\n|\\PC{0,10}\n){0,8}") {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ums.toml");
        std::fs::write(&file, text).unwrap();
        drop(read(&[("UMS_CONFIG", file.to_str().unwrap())]));
    }
}
