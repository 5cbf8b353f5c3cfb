//! TLS below HTTP: trusted, for another host, by an unknown authority.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use ums_core::{FailureClass, FailureSource, SystemClock};
use ums_providers::{Transport, TransportSettings, TrustedRoots};

use crate::bed::{self, Bed};
use crate::fault_server::answer;

const CA: &str = include_str!("../fixtures/smtp/ca.pem");
const RIGHT: (&str, &str) = (
    include_str!("../fixtures/smtp/right-host.pem"),
    include_str!("../fixtures/smtp/right-host.key"),
);
const WRONG: (&str, &str) = (
    include_str!("../fixtures/smtp/wrong-host.pem"),
    include_str!("../fixtures/smtp/wrong-host.key"),
);

/// Accepts every message over TLS, on one connection after the other.
async fn server((certificate, key): (&str, &str)) -> String {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let mut block = vec![0; 16 * 1024];
            while let Ok(1..) = tls.read(&mut block).await {
                tls.write_all(&answer("200 OK", &[], r#"{"MessageId":"the-id"}"#)).await.unwrap();
            }
        }
    });
    url
}

fn transport(roots: &str) -> Arc<Transport> {
    let roots = TrustedRoots::Only(vec![CertificateDer::from_pem_slice(roots.as_bytes()).unwrap()]);
    Transport::new(
        TransportSettings {
            roots,
            ..TransportSettings::default()
        },
        Arc::new(SystemClock::new()),
    )
}

#[tokio::test]
async fn a_trusted_server_gets_the_message() {
    let ses = bed::ses(&server(RIGHT).await, &transport(CA));
    for _ in 0..3 {
        assert_eq!(ses.send_one().await.unwrap().provider_message_id, "the-id");
    }
}

#[tokio::test]
async fn a_server_that_is_not_the_one_gets_nothing() {
    for (certificate, roots) in [(WRONG, CA), (RIGHT, RIGHT.0)] {
        let failure = bed::ses(&server(certificate).await, &transport(roots))
            .send_one()
            .await
            .unwrap_err();
        assert_eq!(
            (failure.class, &*failure.code, failure.source),
            (FailureClass::Unavailable, "tls", FailureSource::Transport)
        );
    }
}
