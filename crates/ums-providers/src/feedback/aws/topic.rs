//! A topic's ARN, and the only URLs that an envelope of that topic may name.

/// An SNS topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topic {
    arn: String,
    region: String,
}

/// The largest part of AWS where a region is, by the beginning of its name; it stands in ARNs.
fn partition_of(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

impl Topic {
    /// Reads `arn:<partition>:sns:<region>:<account>:<name>`.
    pub(super) fn parse(arn: &str) -> Option<Self> {
        let mut parts = arn.split(':');
        let (scheme, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, name) = (parts.next()?, parts.next()?, parts.next()?);
        let is_arn = scheme == "arn" && service == "sns" && partition == partition_of(region) && parts.next().is_none();
        // A region has three parts at least. So it cannot be the name of another service, as `s3` in `sns.s3.amazonaws.com`.
        let is_region = region.split('-').count() >= 3
            && region
                .split('-')
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_name = (1..=256).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        (is_arn && is_region && is_account && is_name).then(|| Self {
            arn: arn.to_owned(),
            region: region.to_owned(),
        })
    }

    pub(super) fn arn(&self) -> &str {
        &self.arn
    }

    /// Where SNS is in the topic's region. Only this host is ever asked for anything.
    pub(super) fn endpoint(&self) -> String {
        let suffix = if self.region.starts_with("cn-") { ".cn" } else { "" };
        format!("https://sns.{}.amazonaws.com{suffix}", self.region)
    }

    /// Names that the certificate may have. Regions that must be opted into have `sns-signing.<region>`, the older ones the plain name.
    /// Source: AWS SDK for Java 2, `sns-message-manager`, read 2026-11-22.
    pub(super) fn certificate_names(&self) -> Vec<String> {
        let region = &self.region;
        match partition_of(region) {
            "aws-cn" => vec![format!("sns-{region}.amazonaws.com.cn")],
            "aws-us-gov" => vec!["sns-us-gov-west-1.amazonaws.com".to_owned()],
            _ => vec!["sns.amazonaws.com".to_owned(), format!("sns-signing.{region}.amazonaws.com")],
        }
    }

    /// Whether a URL is one of SNS's certificates in the topic's region: byte by byte, so that there is no reader of URLs to be fooled by user
    /// names, ports, escapes, other letters or backslashes.
    pub(super) fn allows_certificate(&self, url: &str) -> bool {
        let name = url
            .strip_prefix(&self.endpoint())
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|rest| rest.strip_suffix(".pem"));
        name.is_some_and(|name| {
            (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
    }

    /// The path that confirms a subscription to the topic, if the URL asks for that and nothing else.
    pub(super) fn confirmation_path(&self, url: &str, token: &str) -> Option<String> {
        let is_token = !token.is_empty() && token.len() <= 1024 && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let query = url.strip_prefix(&self.endpoint())?.strip_prefix("/?")?;
        let encoded = self.arn.replace(':', "%3A");
        let mut wanted = [
            "Action=ConfirmSubscription".to_owned(),
            format!("Token={token}"),
            format!("TopicArn={}", self.arn),
        ];
        let mut found: Vec<String> = query.split('&').map(|pair| pair.replace(&encoded, &self.arn)).collect();
        wanted.sort();
        found.sort();
        (is_token && found == wanted).then(|| format!("/?Action=ConfirmSubscription&TopicArn={encoded}&Token={token}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_partition_and_region_that_belong_together() {
        for (arn, endpoint) in [
            ("arn:aws:sns:us-east-1:123456789012:feedback", "https://sns.us-east-1.amazonaws.com"),
            (
                "arn:aws-cn:sns:cn-north-1:123456789012:feedback",
                "https://sns.cn-north-1.amazonaws.com.cn",
            ),
            (
                "arn:aws-us-gov:sns:us-gov-east-1:123456789012:feedback",
                "https://sns.us-gov-east-1.amazonaws.com",
            ),
            (
                "arn:aws:sns:ap-southeast-7:123456789012:feedback.fifo",
                "https://sns.ap-southeast-7.amazonaws.com",
            ),
        ] {
            assert_eq!(Topic::parse(arn).unwrap().endpoint(), endpoint);
        }
        for arn in [
            "",
            "arn:aws:sns:us-east-1:123456789012",
            "arn:aws:sns:us-east-1:123456789012:a:b",
            "arn:aws:sns:s3:123456789012:a",
            "arn:aws:sns:us-east-1.evil.example.com#:123456789012:a",
            "arn:aws:sns:us--1:123456789012:a",
            "arn:aws:sns:US-EAST-1:123456789012:a",
            "arn:aws:sns:us-east-1:12345:a",
            "arn:aws:sns:us-east-1:123456789012:",
            "arn:aws:sns:us-east-1:123456789012:a b",
            "arn:aws:sqs:us-east-1:123456789012:a",
            "arn:aws-cn:sns:us-east-1:123456789012:a",
            "arn:aws:sns:cn-north-1:123456789012:a",
        ] {
            assert_eq!(Topic::parse(arn), None, "{arn}");
        }
    }

    #[test]
    fn only_the_confirmation_of_this_topic_is_asked_for() {
        let topic = Topic::parse("arn:aws:sns:us-east-1:123456789012:feedback").unwrap();
        let path = "/?Action=ConfirmSubscription&TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A123456789012%3Afeedback&Token=abc123";
        for url in [
            "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:123456789012:feedback&Token=abc123",
            "https://sns.us-east-1.amazonaws.com/?Token=abc123&TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A123456789012%3Afeedback&Action=ConfirmSubscription",
        ] {
            assert_eq!(topic.confirmation_path(url, "abc123").as_deref(), Some(path));
        }
        assert_eq!(topic.confirmation_path("https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:123456789012:feedback&Token=abc123", "abc124"), None);
    }
}
