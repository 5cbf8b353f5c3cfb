//! TLS for SMTP: the system's roots and an optional further one, TLS 1.2 or later, host name checked.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::SmtpSettingsFault;

/// What it takes to negotiate TLS with the server.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
}

impl Tls {
    /// Prepares TLS with a host; reads the system's certificates once.
    pub(super) fn new(host: &str, extra_ca_pem: Option<&[u8]>) -> Result<Self, SmtpSettingsFault> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| SmtpSettingsFault::Host)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(crate::roots::of_system().map_err(SmtpSettingsFault::Shortage)?);
        if let Some(pem) = extra_ca_pem {
            let before = roots.len();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|_| SmtpSettingsFault::CaCertificate)?;
                roots.add(certificate).map_err(|_| SmtpSettingsFault::CaCertificate)?;
            }
            if roots.len() == before {
                return Err(SmtpSettingsFault::CaCertificate);
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|_| SmtpSettingsFault::CaCertificate)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name,
        })
    }
}

/// Whether the server's certificate or its TLS itself is at fault, so that waiting does not mend it.
pub(super) fn is_lasting(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(
        inner,
        Some(
            rustls::Error::InvalidCertificate(_)
                | rustls::Error::NoCertificatesPresented
                | rustls::Error::PeerIncompatible(_)
                | rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion | rustls::AlertDescription::HandshakeFailure)
        )
    )
}
