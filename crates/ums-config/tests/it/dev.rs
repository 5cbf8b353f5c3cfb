//! `ums dev` uses the simulator, whatever the developer's machine is set to.

use ums_config::{Origin, SimulatorUrls, StoreUrl, check_serve, dev_settings, show};
use ums_core::ProviderKind::{AwsSes, AwsSns, Console, SendGrid, Smtp, Twilio};

use crate::{COMPLETE, environment};

fn simulator() -> SimulatorUrls {
    SimulatorUrls {
        ses: "http://127.0.0.1:8082".to_owned(),
        sns: "http://127.0.0.1:8083".to_owned(),
        sendgrid: "http://127.0.0.1:8084".to_owned(),
        twilio: "http://127.0.0.1:8085".to_owned(),
        smtp: ([127, 0, 0, 1], 2525).into(),
        logs: "http://127.0.0.1:8083".to_owned(),
        topic_arn: "arn:aws:sns:us-east-1:000000000000:ums-simulator".to_owned(),
        sendgrid_public_key: "MFkw".to_owned(),
    }
}

#[test]
fn provider_settings_of_the_machine_are_not_used() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    std::fs::write(home.path().join(".aws/config"), "[default]\nregion = ca-central-1\n").unwrap();
    let mut pairs = COMPLETE.to_vec();
    let home = home.path().to_str().unwrap().to_owned();
    pairs.extend([
        ("HOME", home.as_str()),
        ("AWS_PROFILE", "nonsense"),
        ("AWS_SESSION_TOKEN", "canary"),
        ("UMS_LOG", "debug"),
        ("UMS_ENV", "production"),
        ("UMS_API_KEY", "canary"),
        ("UMS_DATABASE_URL", "postgres://canary@db/ums"),
        ("UMS_EMAIL_CHAIN", "smtp"),
    ]);
    let data = tempfile::tempdir().unwrap();
    let settings = dev_settings(&environment(&pairs), &simulator(), data.path(), "127.0.0.1:8080".parse().unwrap()).unwrap();
    assert_eq!(settings.email_chain, [AwsSes, SendGrid, Smtp]);
    assert_eq!(settings.sms_chain, [AwsSns, Twilio, Console]);
    assert_eq!(settings.store_url, StoreUrl::sqlite(data.path().join("ums.db")));
    assert_eq!((settings.log.as_str(), settings.api_key.is_none()), ("debug", true));
    assert_eq!(
        (settings.aws.region.as_deref(), &settings.aws.profile, &settings.aws.config_file),
        (Some("us-east-1"), &None, &None)
    );
    assert!(settings.aws.keys.as_ref().unwrap().session_token.is_none());
    assert!(settings.aws.endpoints.ses.as_ref().unwrap().is_loopback());
    assert!(settings.sendgrid.as_ref().unwrap().api_url.is_loopback());
    assert!(settings.twilio.as_ref().unwrap().api_url.is_loopback());
    assert!(settings.smtp.as_ref().unwrap().is_loopback());
    assert!(check_serve(&settings).is_ok() && settings.not_configured.is_empty());
    assert!(!format!("{:?} {settings:?}", show(&settings)).contains("canary"));
    assert_eq!(settings.origin("AWS_SES_FROM_EMAIL"), Origin::Dev);
}

#[test]
fn the_configuration_file_counts_except_for_providers_and_their_way() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("ums.toml");
    let text = "[settings]\nAWS_PROFILE = 'shop'\nAWS_ENDPOINT_URL_STS = 'https://canary.example'\n[http]\nproxy = 'http://canary:1'\n\
                [twilio]\nstatus_callback = 'https://canary.example'\n[smtp]\nca_file = '/canary'\n[breaker]\nfailures = 7\n";
    std::fs::write(&file, text).unwrap();
    let sources = environment(&[("UMS_CONFIG", file.to_str().unwrap())]);
    let settings = dev_settings(&sources, &simulator(), data.path(), ([127, 0, 0, 1], 0).into()).unwrap();
    assert_eq!((settings.breaker.aws_ses.failures, settings.public_url.is_none()), (7, true));
    assert!(settings.aws.profile.is_none() && settings.aws.endpoints.sts.is_none() && settings.http.proxy.is_none());
    assert!(settings.twilio.unwrap().status_callback.is_none() && settings.smtp.unwrap().ca_file.is_none());
}
