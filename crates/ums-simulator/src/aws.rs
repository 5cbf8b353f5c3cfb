//! What SES and SNS have in common: the form of signed requests.

use crate::call::Call;

/// What is wrong with a request's signature, as far as its form shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SignatureFault {
    /// There is none.
    Missing,
    /// A part of it is missing or has the wrong form.
    Incomplete(&'static str),
    /// It was made for another service.
    OtherService,
}

/// The region that a signed request is for.
pub(crate) fn region(call: &Call) -> Option<String> {
    let (_, after) = call.authorization()?.split_once("Credential=")?;
    let credential = after.split(',').next()?.trim();
    credential.rsplit('/').nth(2).map(str::to_owned)
}

/// Checks the form of a Signature Version 4. Any key and any signature pass.
pub(crate) fn check_signature(call: &Call, service: &str) -> Result<(), SignatureFault> {
    use SignatureFault::{Incomplete, Missing, OtherService};
    let header = call.authorization().ok_or(Missing)?;
    let fields = header
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .ok_or(Incomplete("Authorization header requires algorithm 'AWS4-HMAC-SHA256'."))?;
    let field = |name: &str| {
        fields
            .split(',')
            .filter_map(|field| field.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    };
    let credential = field("Credential").ok_or(Incomplete("Authorization header requires 'Credential' parameter."))?;
    if field("SignedHeaders").is_none_or(str::is_empty) {
        return Err(Incomplete("Authorization header requires 'SignedHeaders' parameter."));
    }
    let is_signature = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !field("Signature").is_some_and(is_signature) {
        return Err(Incomplete("Authorization header requires 'Signature' parameter."));
    }
    if call.header("x-amz-date").is_none() && call.header("date").is_none() {
        return Err(Incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
        ));
    }
    // From the right: a key may hold a slash, the scope's four parts may not.
    let scope: Vec<&str> = credential.rsplitn(5, '/').collect();
    let [kind, signed_for, region, date, key] = scope.as_slice() else {
        return Err(Incomplete("Credential must have exactly 5 slash-delimited elements."));
    };
    let is_date = date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
    if *kind != "aws4_request" || !is_date || key.is_empty() || region.is_empty() {
        return Err(Incomplete("Credential is not of the form key/date/region/service/aws4_request."));
    }
    if *signed_for != service {
        return Err(OtherService);
    }
    Ok(())
}
