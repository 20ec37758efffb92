//! TLS by rustls: whom the client trusts, and how it shows who it is.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use kokanee_io::Stream;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::CryptoProvider,
    },
};

use crate::ConnectFailure;

/// What the application says about TLS.
#[derive(Debug, Default)]
pub(crate) struct TlsOptions {
    /// Certificates in PEM that are trusted beside those of the system.
    pub(crate) roots: Vec<Vec<u8>>,
    /// Certificate chain and key in PEM.
    pub(crate) client: Option<(Vec<u8>, Vec<u8>)>,
    /// Believe any server.
    pub(crate) accept_invalid: bool,
}

impl TlsOptions {
    /// Rustls' configuration: without options one for all clients, which keeps the system's certificates once.
    pub(crate) fn configure(&self) -> Result<Arc<ClientConfig>, ConnectFailure> {
        static PLAIN: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        if !self.roots.is_empty() || self.client.is_some() || self.accept_invalid {
            return self.make();
        }
        match PLAIN.get() {
            Some(config) => Ok(Arc::clone(config)),
            None => self
                .make()
                .map(|config| Arc::clone(PLAIN.get_or_init(|| config))),
        }
    }

    fn make(&self) -> Result<Arc<ClientConfig>, ConnectFailure> {
        let unusable = |option, reason: &dyn std::fmt::Display| ConnectFailure::Option {
            option,
            reason: reason.to_string(),
        };
        let builder = ClientConfig::builder();
        let builder = if self.accept_invalid {
            let provider = Arc::clone(builder.crypto_provider());
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAnything(provider)))
        } else {
            let mut roots = system_roots().clone();
            for pem in &self.roots {
                let certificates = CertificateDer::pem_slice_iter(pem)
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| unusable("root_certificate", &error))?;
                if certificates.is_empty() {
                    return Err(unusable(
                        "root_certificate",
                        &"there is no certificate in it",
                    ));
                }
                for certificate in certificates {
                    roots
                        .add(certificate)
                        .map_err(|error| unusable("root_certificate", &error))?;
                }
            }
            builder.with_root_certificates(roots)
        };
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain)
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| unusable("client_certificate", &error))?;
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|error| unusable("client_certificate", &error))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| unusable("client_certificate", &error))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// The certificates that the system trusts, read once.
fn system_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "cannot read some of the system's certificates");
        }
        // Some systems keep old certificates that rustls does not understand.
        roots.add_parsable_certificates(found.certs);
        roots
    })
}

/// Wraps a stream in TLS.
pub(crate) async fn connect(
    config: &Arc<ClientConfig>,
    host: &str,
    stream: Stream,
) -> Result<Stream, ConnectFailure> {
    let failed = |source| ConnectFailure::Tls {
        host: host.to_owned(),
        source,
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let connector = TlsConnector::from(Arc::clone(config));
    let tls = connector.connect(name, stream).await.map_err(failed)?;
    Ok(Stream::Other(Box::pin(tls)))
}

/// Believes every certificate, but checks that the server has its key.
#[derive(Debug)]
struct AcceptAnything(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
