//! The door to PostgreSQL, beside a server that only greets: certificates and refusals, with what to do about them.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use ums_core::StoreError;
use ums_store::PostgresStore;

use crate::ground::clock;

/// What a client asks first (PostgreSQL's documentation, "Message Formats": `SSLRequest`).
const SSL_REQUEST: i32 = 80_877_103;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/tls")
        .join(format!("{name}.pem"))
}

/// A server that greets each client: with a certificate if it has one, and then with an error.
struct Greeter {
    tls: Option<TlsAcceptor>,
    code: &'static str,
    text: &'static str,
}

impl Greeter {
    fn new(certificate: Option<&str>, code: &'static str, text: &'static str) -> Self {
        let tls = certificate.map(|certificate| {
            let chain = vec![CertificateDer::from_pem_file(fixture(certificate)).unwrap()];
            let key = PrivateKeyDer::from_pem_file(fixture("key")).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap();
            TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()))
        });
        Self { tls, code, text }
    }

    /// Starts it; the port that it listens on.
    async fn start(self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not trust it hangs up.
                drop(self.greet(stream).await);
            }
        }));
        port
    }

    async fn greet(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let length = stream.read_i32().await?;
        let code = stream.read_i32().await?;
        if code != SSL_REQUEST {
            return self.refuse(&mut stream, length - 8).await;
        }
        let Some(tls) = &self.tls else {
            stream.write_all(b"N").await?;
            let length = stream.read_i32().await?;
            return self.refuse(&mut stream, length - 4).await;
        };
        stream.write_all(b"S").await?;
        let mut stream = tls.accept(stream).await?;
        let length = stream.read_i32().await?;
        self.refuse(&mut stream, length - 4).await
    }

    /// Answers the start-up message, of which so many bytes are left, with an error.
    async fn refuse(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin), left: i32) -> std::io::Result<()> {
        let mut start_up = vec![0; usize::try_from(left).unwrap_or_default()];
        stream.read_exact(&mut start_up).await?;
        let fields = format!("SFATAL\0VFATAL\0C{}\0M{}\0\0", self.code, self.text);
        stream.write_u8(b'E').await?;
        stream.write_i32(i32::try_from(fields.len()).unwrap_or_default() + 4).await?;
        stream.write_all(fields.as_bytes()).await?;
        stream.shutdown().await
    }
}

async fn open(port: u16, query: &str) -> StoreError {
    let url = format!("postgres://ums:hunter2@localhost:{port}/ums{query}");
    let error = PostgresStore::open(&url, clock()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    error
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_refused_with_why_and_which_setting() {
    let root = format!("&sslrootcert={}", fixture("ca").display());
    for (certificate, query, words) in [
        (
            "right",
            "?sslmode=verify-full",
            &["no authority that is trusted signed it", "sslrootcert=FILE"],
        ),
        (
            "self-signed",
            "?sslmode=verify-full",
            &["one that signs itself", "sslrootcert=FILE"],
        ),
        (
            "self-signed",
            &format!("?sslmode=verify-ca{root}"),
            &["one that signs itself", "sslrootcert=FILE"],
        ),
        (
            "other-authority",
            &format!("?sslmode=require{root}"),
            &["no authority that is trusted signed it", "sslrootcert=FILE"],
        ),
        (
            "wrong-name",
            &format!("?sslmode=verify-full{root}"),
            &["it is another host's", "sslmode=verify-ca"],
        ),
        ("expired", &format!("?sslmode=verify-ca{root}"), &["it has expired", "renew it"]),
        (
            "not-yet",
            &format!("?sslmode=verify-full{root}"),
            &["it is not valid yet", "clocks"],
        ),
    ] {
        let port = Greeter::new(Some(certificate), "57P03", "starting up").start().await;
        let StoreError::Unusable(text) = open(port, query).await else {
            panic!("{certificate} {query} is waited for")
        };
        assert!(
            text.contains("the certificate of PostgreSQL is not trusted"),
            "{certificate} {query}: {text}"
        );
        assert!(words.iter().all(|word| text.contains(word)), "{certificate} {query}: {text}");
    }
    let port = Greeter::new(None, "57P03", "starting up").start().await;
    let error = open(port, "?sslmode=require").await.to_string();
    assert!(error.contains("offers no TLS") && error.contains("sslmode"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_is_trusted_or_not_asked_about_lets_in() {
    let root = format!("&sslrootcert={}", fixture("ca").display());
    for (certificate, query) in [
        ("right", format!("?sslmode=verify-full{root}")),
        ("wrong-name", format!("?sslmode=verify-ca{root}")),
        ("self-signed", "?sslmode=require".to_owned()),
        ("expired", "?sslmode=prefer".to_owned()),
    ] {
        let port = Greeter::new(Some(certificate), "57P03", "the database system is starting up")
            .start()
            .await;
        let error = open(port, &query).await;
        assert!(matches!(error, StoreError::Unavailable(_)), "{certificate} {query}: {error:?}");
    }
}

#[tokio::test]
async fn a_refusal_that_will_not_pass_is_told_at_once_and_any_other_is_waited_for() {
    for (code, text, words) in [
        ("28P01", "password authentication failed for user \"ums\"", Some("UMS_DATABASE_URL")),
        (
            "28000",
            "no pg_hba.conf entry for host \"192.0.2.1\"",
            Some("pg_hba.conf of the server"),
        ),
        ("3D000", "database \"ums\" does not exist", Some("CREATE DATABASE")),
        ("42501", "permission denied for database \"ums\"", Some("GRANT")),
        ("08001", "could not establish a connection", None),
        ("08004", "the server rejected the connection", None),
        ("08P01", "server_login_retry", None),
        ("53300", "too many clients already", None),
        ("55000", "database \"ums\" is not currently accepting connections", None),
        ("57P03", "the database system is starting up", None),
        ("XX000", "something else", None),
    ] {
        let port = Greeter::new(None, code, text).start().await;
        match (open(port, "").await, words) {
            (StoreError::Unusable(told), Some(words)) => assert!(told.contains(text) && told.contains(words), "{code}: {told}"),
            (StoreError::Unavailable(why), None) => assert!(why.to_string().contains(text), "{code}: {why}"),
            (other, _) => panic!("{code}: {other:?}"),
        }
    }
}
