//! Amazon: credentials and region, SES, SNS.

use std::path::{Path, PathBuf};

use ums_core::{Mailbox, Secret};

use super::{Configured, sender, senders};
use crate::aws_files::{AwsFiles, Profile};
use crate::reader::Reader;
use crate::senders::SenderRule;
use crate::values::Endpoint;

/// Keys that were given as such.
#[derive(Clone, Debug)]
pub struct AwsKeys {
    /// Access key.
    pub access_key_id: Secret,
    /// Its secret.
    pub secret_access_key: Secret,
    /// Token of temporary credentials.
    pub session_token: Option<Secret>,
}

/// Where AWS's default chain will find credentials first, as far as can be told without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsCredentialSource {
    /// [`AwsSettings::keys`].
    Keys,
    /// A profile of AWS's files.
    Profile,
    /// A web identity's token file.
    WebIdentity,
    /// A container's endpoint.
    Container,
}

/// Endpoints other than AWS's own, each already falling back to `AWS_ENDPOINT_URL`.
#[derive(Clone, Debug, Default)]
pub struct AwsEndpoints {
    /// SES.
    pub ses: Option<Endpoint>,
    /// SNS.
    pub sns: Option<Endpoint>,
    /// Token service.
    pub sts: Option<Endpoint>,
    /// CloudWatch Logs.
    pub logs: Option<Endpoint>,
    /// CloudWatch.
    pub cloudwatch: Option<Endpoint>,
    /// Secrets Manager.
    pub secrets_manager: Option<Endpoint>,
}

/// What SES and SNS share.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    /// Region; there whenever SES or SNS is configured.
    pub region: Option<String>,
    /// Keys that were given as such; without them AWS's default chain is asked.
    pub keys: Option<AwsKeys>,
    /// Profile of AWS's files, when one is named.
    pub profile: Option<String>,
    /// The keys of that profile, if they stand in AWS's files and do not end by themselves: only to know changed keys by.
    pub profile_keys: Option<Secret>,
    /// AWS's configuration file.
    pub config_file: Option<PathBuf>,
    /// AWS's credentials file.
    pub credentials_file: Option<PathBuf>,
    /// Where credentials will be found; none leaves the instance's role.
    pub credential_source: Option<AwsCredentialSource>,
    /// Endpoints other than AWS's own.
    pub endpoints: AwsEndpoints,
    /// Topics whose notifications are accepted as feedback.
    pub topic_arns: Vec<String>,
    /// Whether a profile is named that AWS's files do not have.
    pub(crate) profile_is_unknown: bool,
    /// Whether the region was read from AWS's files.
    pub(crate) region_is_from_files: bool,
}

/// What sending by SES needs.
#[derive(Clone, Debug)]
pub struct SesSettings {
    /// Own sender.
    pub from: Mailbox,
    /// Senders that it may use beside its own.
    pub senders: Vec<SenderRule>,
    /// Configuration set.
    pub configuration_set: Option<String>,
}

/// What sending by SNS needs.
#[derive(Clone, Debug)]
pub struct SnsSettings {
    /// Sender id.
    pub sender_id: Option<String>,
}

pub(crate) fn read(reader: &mut Reader<'_>) -> AwsSettings {
    let profile = reader.text("AWS_PROFILE");
    let home = reader.text("HOME").map(|home| Path::new(&home).join(".aws"));
    let in_home = |name: &str| home.as_ref().map(|home| home.join(name));
    let config_file = reader.text("AWS_CONFIG_FILE").map(PathBuf::from).or_else(|| in_home("config"));
    let credentials_file = reader
        .text("AWS_SHARED_CREDENTIALS_FILE")
        .map(PathBuf::from)
        .or_else(|| in_home("credentials"));
    let files = AwsFiles {
        config: config_file.clone(),
        credentials: credentials_file.clone(),
    };
    let found = files.profile(profile.as_deref().unwrap_or("default"));
    let said = reader
        .parsed("AWS_REGION", region)
        .or_else(|| reader.parsed("AWS_DEFAULT_REGION", region));
    let region_is_from_files = said.is_none() && found.region.is_some();
    let keys = keys(reader);
    AwsSettings {
        credential_source: credential_source(reader, keys.is_some(), profile.is_some(), &found),
        profile_is_unknown: profile.is_some() && !found.exists && keys.is_none(),
        region: said.or(found.region),
        region_is_from_files,
        keys,
        profile_keys: files.lasting_keys(profile.as_deref().unwrap_or("default")),
        profile,
        config_file,
        credentials_file,
        endpoints: endpoints(reader),
        topic_arns: topic_arns(reader),
    }
}

/// `aws_ses`: configured when its sender is set.
pub(crate) fn ses(reader: &mut Reader<'_>, aws: &AwsSettings, named: bool) -> Configured<SesSettings> {
    let any = reader.is_set("AWS_SES_FROM_EMAIL");
    let from = sender(reader, "AWS_SES_FROM_EMAIL", "AWS_SES_FROM_NAME");
    let senders = senders(reader, "senders.aws_ses", from.as_ref().map(|from| &from.address));
    let configuration_set = reader.parsed("AWS_SES_CONFIGURATION_SET", |text| {
        let fine = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if fine {
            Ok(text.to_owned())
        } else {
            Err("must be at most 64 letters, digits, _ and -")
        }
    });
    let mut missing = Vec::new();
    if !any {
        missing.push("AWS_SES_FROM_EMAIL");
    }
    if aws.region.is_none() && !reader.is_set("AWS_REGION") {
        missing.push("AWS_REGION");
    }
    refuse_unknown_profile(reader, aws, any || named);
    let settings = from.map(|from| SesSettings {
        from,
        senders,
        configuration_set,
    });
    Configured::unless_missing(reader, any, missing, "Amazon SES needs a sender and a region", settings)
}

/// `aws_sns`: configured when a region and a credential source are there, or when it is named in
/// the chain, since then the instance's role is asked.
pub(crate) fn sns(reader: &mut Reader<'_>, aws: &AwsSettings, named: bool) -> Configured<SnsSettings> {
    let sender_id = reader.parsed("AWS_SNS_SENDER_ID", |text| {
        let fine = text.len() <= 11
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && text.bytes().any(|byte| byte.is_ascii_alphabetic());
        if fine {
            Ok(text.to_owned())
        } else {
            Err("must be 1 to 11 letters, digits and -, with at least one letter")
        }
    });
    let wanted = named || reader.is_set("AWS_SNS_SENDER_ID");
    let mut missing = Vec::new();
    if aws.region.is_none() && !reader.is_set("AWS_REGION") {
        missing.push("AWS_REGION");
    }
    if aws.credential_source.is_none() && !wanted {
        missing.extend(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    }
    refuse_unknown_profile(reader, aws, wanted);
    Configured::unless_missing(
        reader,
        wanted,
        missing,
        "Amazon SNS needs a region and credentials",
        Some(SnsSettings { sender_id }),
    )
}

fn refuse_unknown_profile(reader: &mut Reader<'_>, aws: &AwsSettings, used: bool) {
    if used && aws.profile_is_unknown {
        reader.fault(
            "AWS_PROFILE",
            "names a profile that AWS's files do not have: run `aws configure --profile`, or unset it",
        );
    }
}

/// A region's name; it becomes part of a host name.
fn region(text: &str) -> Result<String, &'static str> {
    let fine = text.len() <= 32
        && text.split('-').count() >= 3
        && text
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    if fine {
        Ok(text.to_owned())
    } else {
        Err("must be the name of a region, such as us-east-1")
    }
}

fn keys(reader: &mut Reader<'_>) -> Option<AwsKeys> {
    let given = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| reader.is_set(name));
    let reason = "is missing: access key and secret go together";
    match given {
        [true, false] => reader.fault("AWS_SECRET_ACCESS_KEY", reason),
        [false, true] => reader.fault("AWS_ACCESS_KEY_ID", reason),
        [false, false] if reader.is_set("AWS_SESSION_TOKEN") => {
            reader.missing(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], "AWS_SESSION_TOKEN goes with them");
        }
        _ => {}
    }
    let (id, secret, session_token) = (
        reader.secret("AWS_ACCESS_KEY_ID"),
        reader.secret("AWS_SECRET_ACCESS_KEY"),
        reader.secret("AWS_SESSION_TOKEN"),
    );
    Some(AwsKeys {
        access_key_id: id?,
        secret_access_key: secret?,
        session_token,
    })
}

/// The first place in the order of AWS's own chain.
fn credential_source(reader: &Reader<'_>, keys: bool, profile_named: bool, found: &Profile) -> Option<AwsCredentialSource> {
    let web_identity = reader.is_set("AWS_WEB_IDENTITY_TOKEN_FILE") && reader.is_set("AWS_ROLE_ARN");
    let container = reader.is_set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") || reader.is_set("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if keys {
        Some(AwsCredentialSource::Keys)
    } else if found.has_credentials || (profile_named && found.exists) {
        Some(AwsCredentialSource::Profile)
    } else if web_identity {
        Some(AwsCredentialSource::WebIdentity)
    } else if container {
        Some(AwsCredentialSource::Container)
    } else {
        None
    }
}

fn endpoints(reader: &mut Reader<'_>) -> AwsEndpoints {
    let all = reader.parsed("AWS_ENDPOINT_URL", Endpoint::of_provider);
    let mut one = |name| reader.parsed(name, Endpoint::of_provider).or_else(|| all.clone());
    AwsEndpoints {
        ses: one("AWS_ENDPOINT_URL_SESV2"),
        sns: one("AWS_ENDPOINT_URL_SNS"),
        sts: one("AWS_ENDPOINT_URL_STS"),
        logs: one("AWS_ENDPOINT_URL_LOGS"),
        cloudwatch: one("AWS_ENDPOINT_URL_CLOUDWATCH"),
        secrets_manager: one("AWS_ENDPOINT_URL_SECRETS_MANAGER"),
    }
}

fn topic_arns(reader: &mut Reader<'_>) -> Vec<String> {
    let arns = reader.list("UMS_AWS_TOPIC_ARNS").unwrap_or_default();
    let fine = |arn: &String| arn.starts_with("arn:aws") && arn.split(':').nth(2) == Some("sns") && arn.split(':').count() == 6;
    if !arns.iter().all(fine) {
        reader.fault(
            "UMS_AWS_TOPIC_ARNS",
            "must list the ARNs of topics, arn:aws:sns:REGION:ACCOUNT:NAME",
        );
    }
    arns
}
