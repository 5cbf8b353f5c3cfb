//! Verifying a sender at SES: `POST /v2/email/identities`, `GET /v2/email/identities/{identity}`.

use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};
use ums_core::{Failure, FailureClass, ProviderKind};

use super::ses::{ASK_TIME, FAILURES, Ses};
use crate::aws;
use crate::classify::{Sent, refusal, refusal_by_status};
use crate::form;
use crate::http::{Answer, Reply};

/// How far the verification of an address or a domain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityVerification {
    /// It may be sent from.
    Verified,
    /// The owner has yet to follow the link in SES's e-mail, or to publish the DNS records.
    Pending,
    /// SES gave up, or cannot tell.
    Failed,
    /// SES does not know it in this region.
    NotFound,
}

/// What SES says about an address or a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityStatus {
    /// How far its verification is.
    pub verification: IdentityVerification,
    /// The records to publish for a domain: names under `<token>._domainkey.<domain>`.
    pub dkim_tokens: Vec<String>,
}

impl Ses {
    /// Asks SES to verify an address (it mails a link) or a domain (it names DNS records).
    ///
    /// An identity that is there already is no error: its status is returned.
    ///
    /// # Errors
    /// A [`Failure`] as for a send; the permission is `ses:CreateEmailIdentity`.
    pub async fn create_identity(&self, identity: &str) -> Result<IdentityStatus, Failure> {
        let body = serde_json::to_vec(&CreateIdentity { email_identity: identity }).unwrap_or_default();
        let reply = self
            .aws
            .request(Method::POST, "/v2/email/identities", body.into(), ASK_TIME)
            .await?;
        let (code, _) = aws::json_error(&reply.headers, &reply.body);
        if code.as_deref() == Some("AlreadyExistsException") {
            return self.identity_status(identity).await;
        }
        read_identity(&reply, &self.aws)
    }

    /// Asks SES how far the verification of an address or a domain is.
    ///
    /// # Errors
    /// A [`Failure`] as for a send; the permission is `ses:GetEmailIdentity`.
    pub async fn identity_status(&self, identity: &str) -> Result<IdentityStatus, Failure> {
        let path = format!("/v2/email/identities/{}", form::path_segment(identity));
        let reply = self.aws.request(Method::GET, &path, Bytes::new(), ASK_TIME).await?;
        if reply.status == 404 {
            return Ok(IdentityStatus {
                verification: IdentityVerification::NotFound,
                dkim_tokens: Vec::new(),
            });
        }
        read_identity(&reply, &self.aws)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateIdentity<'a> {
    email_identity: &'a str,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Identity {
    verified_for_sending_status: bool,
    verification_status: Option<String>,
    dkim_attributes: Option<DkimAttributes>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct DkimAttributes {
    tokens: Vec<String>,
}

fn read_identity(reply: &Reply, aws: &aws::AwsService) -> Result<IdentityStatus, Failure> {
    let answer: Answer<'_> = reply.answer(aws.now());
    if !answer.is_success() {
        let (code, message) = aws::json_error(&reply.headers, &reply.body);
        return Err(match code {
            Some(code) => refusal(
                ProviderKind::AwsSes,
                &[FAILURES, aws::FAILURES],
                (&code, Sent::UNKNOWN),
                &message,
                &answer,
            ),
            None => refusal_by_status(ProviderKind::AwsSes, "SES answered without a readable error", &answer),
        });
    }
    let identity: Identity = serde_json::from_slice(&reply.body)
        .map_err(|_| Failure::provider(FailureClass::Unknown, reply.status.to_string(), "SES's answer is not readable"))?;
    let verification = match (identity.verified_for_sending_status, identity.verification_status.as_deref()) {
        (true, _) => IdentityVerification::Verified,
        (false, None | Some("PENDING" | "NOT_STARTED")) => IdentityVerification::Pending,
        (false, Some(_)) => IdentityVerification::Failed,
    };
    Ok(IdentityStatus {
        verification,
        dkim_tokens: identity.dkim_attributes.unwrap_or_default().tokens,
    })
}
