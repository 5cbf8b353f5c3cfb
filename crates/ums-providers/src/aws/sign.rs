//! Signature Version 4, by `aws-sigv4`.

use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign as sign_request};
use aws_sigv4::sign::v4;
use http::{HeaderName, HeaderValue, Method};
use ums_core::Timestamp;

use super::credentials::Snapshot;

/// What a signature is good for.
pub(super) struct Scope<'a> {
    pub(super) service: &'static str,
    pub(super) region: &'a str,
    pub(super) time: Timestamp,
}

/// The headers that sign a request; nothing if it cannot be signed.
pub(super) fn sign(
    credentials: &Snapshot,
    scope: &Scope<'_>,
    method: &Method,
    (url, headers): (&str, &[(&'static str, &'static str)]),
    body: &[u8],
) -> Option<impl Iterator<Item = (HeaderName, HeaderValue)> + use<>> {
    let params = v4::SigningParams::builder()
        .identity(credentials.identity())
        .region(scope.region)
        .name(scope.service)
        .time(system_time(scope.time))
        .settings(SigningSettings::default())
        .build()
        .ok()?;
    let request = SignableRequest::new(method.as_str(), url, headers.iter().copied(), SignableBody::Bytes(body)).ok()?;
    let (instructions, _) = sign_request(request, &params.into()).ok()?.into_parts();
    let (signed, _) = instructions.into_parts();
    Some(signed.into_iter().filter_map(|header| {
        let mut value = HeaderValue::from_str(header.value()).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::from_static(header.name()), value))
    }))
}

fn system_time(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(0))
}
