//! The settings that decide how a provider account answers: with other ones, what its breaker learned does not count.

use ums_config::Settings;
use ums_core::{Mailbox, ProviderKind, Secret};
use ums_delivery::Fingerprint;

use super::{senders, text};

/// The fingerprint of a provider's settings.
pub(super) fn of(settings: &Settings, provider: ProviderKind) -> Fingerprint {
    let material = material(settings, provider);
    let material: Vec<_> = material.iter().map(|(name, value)| (*name, value.expose())).collect();
    Fingerprint::of(&keys(settings), &material)
}

/// The service's secrets, newest first; its API key where there is none, as for the fingerprints of requests.
fn keys(settings: &Settings) -> Vec<Secret> {
    if settings.secret_keys.is_empty() {
        settings.api_key.iter().cloned().collect()
    } else {
        settings.secret_keys.clone()
    }
}

/// Credentials, endpoint and senders, as they are configured. Not the credentials that a role gives for an hour: a role whose credentials
/// are renewed is the same account.
fn material(settings: &Settings, provider: ProviderKind) -> Vec<(&'static str, Secret)> {
    let mut material = vec![("provider", Secret::new(provider.as_str()))];
    match provider {
        ProviderKind::AwsSes => {
            aws(settings, &mut material);
            add(&mut material, "endpoint", settings.aws.endpoints.ses.as_ref().map(text));
            if let Some(own) = &settings.ses {
                sender(&mut material, &own.from, &senders(&own.senders));
                add(&mut material, "configuration_set", own.configuration_set.clone());
            }
        }
        ProviderKind::AwsSns => {
            aws(settings, &mut material);
            add(&mut material, "endpoint", settings.aws.endpoints.sns.as_ref().map(text));
            add(&mut material, "sender", settings.sns.as_ref().and_then(|own| own.sender_id.clone()));
        }
        ProviderKind::SendGrid => {
            if let Some(own) = &settings.sendgrid {
                material.push(("api_key", own.api_key.clone()));
                add(&mut material, "endpoint", Some(text(&own.api_url)));
                sender(&mut material, &own.from, &senders(&own.senders));
            }
        }
        ProviderKind::Smtp => {
            if let Some(own) = &settings.smtp {
                add(&mut material, "endpoint", Some(format!("{}:{} {:?}", own.host, own.port, own.tls)));
                add(&mut material, "helo_name", own.helo_name.as_ref().map(ToString::to_string));
                if let Some(login) = &own.login {
                    add(&mut material, "user", Some(login.user.clone()));
                    material.push(("password", login.password.clone()));
                }
                sender(&mut material, &own.from, &senders(&own.senders));
            }
        }
        ProviderKind::Twilio => {
            if let Some(own) = &settings.twilio {
                add(&mut material, "account", Some(own.account_sid.clone()));
                material.push(("auth_token", own.auth_token.clone()));
                add(&mut material, "endpoint", Some(text(&own.api_url)));
                add(&mut material, "sender", own.phone_number.clone());
                add(&mut material, "service", own.messaging_service_sid.clone());
            }
        }
        ProviderKind::Console => {}
    }
    material
}

/// What SES and SNS share. A session token says nothing that its access key does not say.
fn aws(settings: &Settings, material: &mut Vec<(&'static str, Secret)>) {
    let aws = &settings.aws;
    add(material, "region", aws.region.clone());
    if let Some(keys) = &aws.keys {
        material.push(("access_key_id", keys.access_key_id.clone()));
        material.push(("secret_access_key", keys.secret_access_key.clone()));
        return;
    }
    add(material, "profile", aws.profile.clone());
    add(material, "source", aws.credential_source.map(|source| format!("{source:?}")));
    material.extend(aws.profile_keys.clone().map(|keys| ("profile_keys", keys)));
}

fn sender(material: &mut Vec<(&'static str, Secret)>, from: &Mailbox, senders: &[String]) {
    add(material, "sender", Some(from.address.expose().to_owned()));
    add(material, "senders", Some(senders.join(" ")));
}

fn add(material: &mut Vec<(&'static str, Secret)>, name: &'static str, value: Option<String>) {
    material.extend(value.map(|value| (name, Secret::new(value))));
}

#[cfg(test)]
mod tests {
    use ums_config::{Layered, LoadOptions, MapSource, Origin};

    use super::*;

    const SETTINGS: &[(&str, &str)] = &[
        ("UMS_SECRET_KEY", "0123456789abcdef0123456789abcdef"),
        ("UMS_API_KEY", "api-key"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SES_FROM_EMAIL", "shop@example.com"),
        ("AWS_SNS_SENDER_ID", "Shop"),
        ("SENDGRID_API_KEY", "SG.one"),
        ("SENDGRID_FROM_EMAIL", "shop@example.com"),
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_PORT", "2525"),
        ("SMTP_USER", "shop"),
        ("SMTP_PASSWORD", "password"),
        ("SMTP_FROM_EMAIL", "shop@example.com"),
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000000"),
        ("TWILIO_AUTH_TOKEN", "token"),
        ("TWILIO_PHONE_NUMBER", "+15550100000"),
    ];

    fn settings(changed: Option<(&str, &str)>) -> Settings {
        let given = SETTINGS.iter().copied().chain(changed);
        let given = given.fold(MapSource::default(), |map, (name, value)| map.with(name, value));
        ums_config::load(&Layered::new().over(Origin::Caller, given), &LoadOptions::library()).unwrap()
    }

    #[test]
    fn each_setting_concerns_its_provider_and_no_other() {
        use ProviderKind::{AwsSes, AwsSns, SendGrid, Smtp, Twilio};
        let check = |name: &str, value: &str, concerned: &[ProviderKind]| {
            let (before, after) = (settings(None), settings(Some((name, value))));
            let changed: Vec<_> = ProviderKind::ALL
                .iter()
                .copied()
                .filter(|provider| of(&before, *provider) != of(&after, *provider))
                .collect();
            assert_eq!(changed, concerned, "{name}");
        };
        check("AWS_ACCESS_KEY_ID", "AKIDOTHER", &[AwsSes, AwsSns]);
        check("AWS_SECRET_ACCESS_KEY", "other", &[AwsSes, AwsSns]);
        check("AWS_REGION", "eu-central-1", &[AwsSes, AwsSns]);
        // The credentials of a role are renewed; they are the same account.
        check("AWS_SESSION_TOKEN", "token", &[]);
        check("AWS_ENDPOINT_URL_SESV2", "http://127.0.0.1:8082", &[AwsSes]);
        check("AWS_SES_FROM_EMAIL", "other@example.com", &[AwsSes]);
        check("AWS_SNS_SENDER_ID", "Other", &[AwsSns]);
        check("SENDGRID_API_KEY", "SG.two", &[SendGrid]);
        check("SENDGRID_API_URL", "http://127.0.0.1:8084", &[SendGrid]);
        check("SENDGRID_FROM_EMAIL", "other@example.com", &[SendGrid]);
        check("SMTP_PASSWORD", "other", &[Smtp]);
        check("SMTP_PORT", "2526", &[Smtp]);
        check("SMTP_HELO_NAME", "mail.example.com", &[Smtp]);
        check("TWILIO_AUTH_TOKEN", "other", &[Twilio]);
        check("TWILIO_PHONE_NUMBER", "+15550100001", &[Twilio]);
        // Nothing that a provider sees.
        check("AWS_SES_FROM_NAME", "Shop", &[]);
        check("UMS_API_KEY", "other", &[]);
    }
}
