//! Connections to Postgres, with TLS as `sslmode` asks for it.
//!
//! As with libpq, `prefer` and `require` encrypt without checking who answers; `verify-full` checks the certificate
//! and the host name against `sslrootcert`, or the system's roots.

use std::sync::Arc;
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::NoTls;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

use super::StoreError;

/// How to reach a Postgres server: the URL without what tokio-postgres does not know, and TLS.
#[derive(Clone)]
pub(super) struct PostgresTarget {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
    patience: Duration,
}

impl PostgresTarget {
    /// Reads a `postgres://` URL with its `sslmode` and `sslrootcert`.
    pub(super) fn parse(url: &str, connect_timeout: Duration) -> Result<Self, StoreError> {
        let setup = |why: String| StoreError::Setup(format!("DATABASE_URL: {why}"));
        let mut parsed = Url::parse(url).map_err(|error| setup(format!("not a URL: {error}")))?;
        let mut verify = false;
        let mut root_file = None;
        let mut kept = Vec::new();
        for (key, value) in parsed.query_pairs() {
            match (&*key, &*value) {
                ("sslmode", "verify-full") => {
                    verify = true;
                    kept.push(("sslmode".to_owned(), "require".to_owned()));
                }
                ("sslmode", "disable" | "prefer" | "require") => kept.push((key.into_owned(), value.into_owned())),
                ("sslmode", other) => {
                    let known = "disable, prefer, require or verify-full";
                    return Err(setup(format!("sslmode={other} is not supported; use {known}")));
                }
                ("sslrootcert", path) => root_file = Some(path.to_owned()),
                _ => kept.push((key.into_owned(), value.into_owned())),
            }
        }
        parsed.set_query(None);
        if !kept.is_empty() {
            parsed.query_pairs_mut().extend_pairs(kept);
        }
        let mut config: tokio_postgres::Config =
            parsed.as_str().parse().map_err(|error: tokio_postgres::Error| setup(error.to_string()))?;
        config.connect_timeout(connect_timeout).application_name("gatepost");
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(MakeRustlsConnect::new(client_config(verify, root_file.as_deref())?)),
        };
        Ok(Self { config, tls, patience: connect_timeout })
    }

    /// Opens a connection, login included, within the time that the settings allow.
    pub(super) async fn connect(&self) -> ConnectionResult<AsyncPgConnection> {
        tokio::time::timeout(self.patience, self.shake_hands()).await.unwrap_or_else(|_| {
            let seconds = self.patience.as_secs_f32();
            Err(ConnectionError::BadConnection(format!("the server gave no answer within {seconds} s")))
        })
    }

    async fn shake_hands(&self) -> ConnectionResult<AsyncPgConnection> {
        let bad = |error: tokio_postgres::Error| ConnectionError::BadConnection(describe(&error));
        match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(bad)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await.map_err(bad)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
        }
    }
}

/// The error with its cause: tokio-postgres's own text says only "db error" or "error connecting to server".
fn describe(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn client_config(verify: bool, root_file: Option<&str>) -> Result<ClientConfig, StoreError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Setup(format!("TLS cannot be set up: {error}")))?;
    if !verify {
        let verifier = Arc::new(EncryptOnly(provider));
        return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    match root_file {
        Some(path) => {
            let unreadable = |error| StoreError::Setup(format!("DATABASE_URL: sslrootcert={path}: {error}"));
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                roots
                    .add(certificate.map_err(unreadable)?)
                    .map_err(|error| StoreError::Setup(format!("DATABASE_URL: sslrootcert={path}: {error}")))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Takes any certificate, as `sslmode=require` of libpq does; signatures are still checked.
#[derive(Debug)]
struct EncryptOnly(Arc<CryptoProvider>);

impl ServerCertVerifier for EncryptOnly {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
