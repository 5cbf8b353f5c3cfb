//! SNS's certificates: where they come from, whether they are SNS's, and what they signed.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Method;
use ring::signature::{RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters, UnparsedPublicKey};
use tokio::sync::Semaphore;
use ums_core::{HookFault, Monotonic, Timestamp};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::OID_PKCS1_RSAENCRYPTION;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use crate::http::{Outgoing, Transport};

/// Longest certificate that is read; SNS's have 2 KiB.
const MAX_CERTIFICATE: usize = 16 * 1024;
/// Time for a fetch.
const FETCH_TIME: Duration = Duration::from_secs(5);
/// Certificates that are kept.
const KEPT: usize = 10;
/// Fetches at the same time.
const AT_ONCE: usize = 2;
/// Fetches in [`RATE_WINDOW`]. SNS has a new certificate about once a year; more are somebody's play with made-up names.
const MOST_FETCHES: usize = 30;
const RATE_WINDOW: Duration = Duration::from_mins(1);

/// Where SNS's certificates come from.
#[async_trait]
pub trait CertificateSource: Send + Sync + fmt::Debug {
    /// The PEM file at a URL. The URL was checked before: it is https, at SNS in a region of a topic that is allowed.
    ///
    /// # Errors
    /// [`HookFault::Unavailable`] when it cannot be had now, [`HookFault::Refused`] when there is none.
    async fn certificate(&self, url: &str) -> Result<Vec<u8>, HookFault>;
}

/// Fetches certificates from SNS and keeps the last ten.
pub struct HttpCertificates {
    transport: Arc<Transport>,
    kept: Mutex<VecDeque<(String, Vec<u8>)>>,
    fetches: Mutex<VecDeque<Monotonic>>,
    places: Semaphore,
}

impl HttpCertificates {
    /// Opens nothing before the first certificate is needed.
    pub fn new(transport: Arc<Transport>) -> Self {
        Self {
            transport,
            kept: Mutex::default(),
            fetches: Mutex::default(),
            places: Semaphore::new(AT_ONCE),
        }
    }

    fn known(&self, url: &str) -> Option<Vec<u8>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| known == url)?;
        let entry = kept.remove(at)?;
        let pem = entry.1.clone();
        kept.push_front(entry);
        Some(pem)
    }

    fn keep(&self, url: &str, pem: &[u8]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, _)| known != url);
        kept.push_front((url.to_owned(), pem.to_vec()));
        kept.truncate(KEPT);
    }

    fn may_fetch(&self) -> bool {
        let now = self.transport.clock().monotonic();
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        while fetches.front().is_some_and(|at| now.since(*at) >= RATE_WINDOW) {
            fetches.pop_front();
        }
        let may = fetches.len() < MOST_FETCHES;
        if may {
            fetches.push_back(now);
        }
        may
    }
}

#[async_trait]
impl CertificateSource for HttpCertificates {
    async fn certificate(&self, url: &str) -> Result<Vec<u8>, HookFault> {
        if let Some(pem) = self.known(url) {
            return Ok(pem);
        }
        let _place = self
            .places
            .acquire()
            .await
            .map_err(|_| HookFault::Unavailable("certificate_fetch"))?;
        if let Some(pem) = self.known(url) {
            return Ok(pem);
        }
        if !self.may_fetch() {
            return Err(HookFault::Unavailable("certificate_fetch"));
        }
        let path = url.rfind('/').ok_or(HookFault::Refused("certificate_url"))?;
        let (endpoint, path) = url.split_at(path);
        let (status, body) = get(&self.transport, endpoint, path).await?;
        match status {
            200 if body.len() <= MAX_CERTIFICATE && der(&body).is_some() => {
                self.keep(url, &body);
                Ok(body.to_vec())
            }
            200 | 300..=499 => Err(HookFault::Refused("certificate")),
            _ => Err(HookFault::Unavailable("certificate_fetch")),
        }
    }
}

impl fmt::Debug for HttpCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCertificates").finish_non_exhaustive()
    }
}

/// Gets what is at SNS; follows no redirect.
pub(super) async fn get(transport: &Transport, endpoint: &str, path: &str) -> Result<(u16, Bytes), HookFault> {
    let broken = HookFault::Refused("certificate_url");
    let origin = transport.origin(endpoint).map_err(|_| broken.clone())?;
    let target = origin.target(path).map_err(|_| broken)?;
    let request = Outgoing {
        method: Method::GET,
        target: &target,
        headers: &[],
        body: Bytes::new(),
    };
    let reply = transport.exchange(&origin, &request, FETCH_TIME).await;
    let reply = reply.map_err(|_| HookFault::Unavailable("sns_unreachable"))?;
    Ok((reply.status, reply.body))
}

/// What an envelope says that its signature is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureHash {
    /// Version 1, still what a new topic uses.
    Sha1,
    /// Version 2.
    Sha256,
}

/// Whether a certificate is SNS's, valid now, and made this signature.
///
/// Who issued it is not asked: SNS serves it without its chain, over TLS from the host that the topic's region names, and that is what is
/// trusted, as AWS's own validators do.
pub(super) fn verify(
    der: &[u8],
    names: &[String],
    now: Timestamp,
    hash: SignatureHash,
    (text, signature): (&[u8], &[u8]),
) -> Result<(), HookFault> {
    let refused = || HookFault::Refused("certificate");
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| refused())?;
    let seconds = ASN1Time::from_timestamp(now.as_micros().div_euclid(1_000_000)).map_err(|_| refused())?;
    let key = certificate.public_key();
    let is_rsa = key.algorithm.algorithm == OID_PKCS1_RSAENCRYPTION;
    if !rest.is_empty() || !certificate.validity().is_valid_at(seconds) || !is_rsa || !is_named(&certificate, names) {
        return Err(refused());
    }
    let parameters: &RsaParameters = match hash {
        SignatureHash::Sha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        SignatureHash::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
    };
    UnparsedPublicKey::new(parameters, &key.subject_public_key.data)
        .verify(text, signature)
        .map_err(|_| HookFault::Refused("signature"))
}

/// Whether a certificate has one of these names: as its common name, or as one of the names of hosts that it lists.
fn is_named(certificate: &X509Certificate<'_>, names: &[String]) -> bool {
    let is_known = |name: &str| names.iter().any(|known| known == name);
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let listed = certificate.subject_alternative_name().ok().flatten();
    let listed = listed
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None });
    common.chain(listed).any(is_known)
}

/// The one certificate of a PEM file that holds nothing else.
pub(super) fn der(pem: &[u8]) -> Option<Vec<u8>> {
    if pem.len() > MAX_CERTIFICATE {
        return None;
    }
    let text = std::str::from_utf8(pem).ok()?.trim_ascii();
    let body = text
        .strip_prefix("-----BEGIN CERTIFICATE-----")?
        .strip_suffix("-----END CERTIFICATE-----")?;
    let body: String = body.split(['\r', '\n']).collect();
    BASE64_STANDARD.decode(body).ok()
}
