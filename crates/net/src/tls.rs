//! TLS by rustls: what a server shows, and whom a client trusts.

use std::{
    io,
    path::Path,
    sync::{Arc, OnceLock},
};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsAcceptor, TlsConnector, TlsStream,
    rustls::{
        ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
        SignatureScheme, WantsVerifier,
        client::{
            WantsClientCert,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring},
    },
};

use crate::{
    endpoint::Endpoint,
    error::{self, NetError},
    stream::Stream,
};

fn failed(context: &dyn std::fmt::Display, reason: &dyn std::fmt::Display) -> NetError {
    NetError::Tls {
        context: context.to_string(),
        reason: reason.to_string(),
    }
}

/// The certificate of a server. A cheap handle.
#[derive(Clone)]
pub struct ServerTls(TlsAcceptor);

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

impl ServerTls {
    /// Reads the certificate chain and the key of two PEM files.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_net::{NetError, ServerTls};
    ///
    /// // The error names the file.
    /// match ServerTls::from_pem_files("missing.pem".as_ref(), "key.pem".as_ref()) {
    ///     Err(NetError::Tls { context, reason }) => assert_eq!(context, "missing.pem", "{reason}"),
    ///     other => panic!("{other:?}"),
    /// }
    /// ```
    ///
    /// # Errors
    /// [`NetError::Tls`] with the file that cannot be read, or when they do not fit together.
    pub fn from_pem_files(certificate: &Path, key: &Path) -> Result<Self, NetError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| failed(&path.display(), &error::reason(&source)))
        };
        let (chain, private) = (read(certificate)?, read(key)?);
        let chain =
            certificates(&chain).map_err(|reason| failed(&certificate.display(), &reason))?;
        let private = PrivateKeyDer::from_pem_slice(&private)
            .map_err(|reason| failed(&key.display(), &reason))?;
        let config = server_config()
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(|reason| failed(&"certificate and key do not fit", &reason))?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        peer: &Endpoint,
    ) -> Result<Stream, NetError> {
        let accepted = self.0.accept(stream).await;
        let stream = accepted.map_err(|source| failed(peer, &error::reason(&source)))?;
        Ok(Stream::Tls(Box::new(TlsStream::Server(stream))))
    }
}

/// Returns the certificates of a PEM file, at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(certificates)
}

// With a provider of our own: the process has no default one if the application enables several.

fn client_config() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
}

fn server_config() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
}

/// Whom a client trusts. A cheap handle.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    server_name: Option<String>,
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

impl ClientTls {
    /// Trusts the certificates that the system trusts.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_net::{ClientTls, TcpClient};
    ///
    /// let client = TcpClient::new("example.com:443").tls(ClientTls::system());
    /// ```
    pub fn system() -> Self {
        Self::new(
            client_config()
                .with_root_certificates(system_roots().clone())
                .with_no_client_auth(),
        )
    }

    /// Trusts these certificates in PEM, beside those of the system.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use kokanee_net::{ClientTls, TcpClient};
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let tls = ClientTls::trusting(&std::fs::read("own-authority.pem")?)?;
    /// let client = TcpClient::new("plc.local:5001").tls(tls);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`NetError::Tls`] when they cannot be used.
    pub fn trusting(pem: &[u8]) -> Result<Self, NetError> {
        let options = TlsOptions {
            roots: vec![pem.to_vec()],
            ..TlsOptions::default()
        };
        Ok(Self::new(options.configure()?))
    }

    /// Believes any server: whoever is in between can read and change everything.
    pub fn danger_accept_invalid_certificates() -> Self {
        Self::new(believe_anything(client_config()).with_no_client_auth())
    }

    fn new(config: ClientConfig) -> Self {
        Self {
            config: Arc::new(config),
            server_name: None,
        }
    }

    /// Sets the name that the server's certificate must have. Default: the host that is connected to.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_net::{ClientTls, TcpClient};
    ///
    /// // Connects by address; the certificate has the name.
    /// let client = TcpClient::new("10.0.0.7:5001").tls(ClientTls::system().server_name("plc.local"));
    /// ```
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Self {
        self.server_name = Some(name.to_owned());
        self
    }

    pub(crate) async fn connect(&self, stream: TcpStream, host: &str) -> Result<Stream, NetError> {
        let host = self.server_name.as_deref().unwrap_or(host);
        let name =
            ServerName::try_from(host.to_owned()).map_err(|reason| failed(&host, &reason))?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let connected = connector.connect(name, stream).await;
        let stream = connected.map_err(|source: io::Error| {
            let reason = error::reason(&source);
            match tls_hint(&source) {
                Some(hint) => failed(&host, &format!("{reason}; {hint}")),
                None => failed(&host, &reason),
            }
        })?;
        Ok(Stream::Tls(Box::new(TlsStream::Client(stream))))
    }
}

/// Says what to do about a failed handshake, if its cause is a known one.
///
/// # Examples
///
/// ```
/// use std::io;
///
/// let failure = io::Error::from(io::ErrorKind::UnexpectedEof);
/// assert!(kokanee_net::tls_hint(&failure).unwrap().contains("does it speak TLS on this port?"));
/// ```
pub fn tls_hint(failure: &io::Error) -> Option<&'static str> {
    // The verifier's own errors are not part of rustls' interface, but their names are in its text.
    let text = failure.to_string();
    if text.contains("CaUsedAsEndEntity") {
        return Some(
            "the server shows the certificate of an authority (CA:TRUE), as `openssl req -x509` makes it by default: give it \
             one that the authority has signed, or make it with `-addext basicConstraints=critical,CA:FALSE`",
        );
    }
    // What is not a TLS record at all, as an answer of HTTP.
    if text.contains("InvalidContentType") {
        return Some(
            "the server does not speak TLS on this port: connect without it, with http:// or ws:// if it is a URL",
        );
    }
    let has_ended = matches!(
        failure.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
    );
    has_ended.then_some("the server has ended the connection: does it speak TLS on this port?")
}

/// What a client may say about TLS, for protocols that bring their own connections.
#[derive(Clone, Default)]
pub struct TlsOptions {
    /// Certificates in PEM that are trusted beside those of the system.
    pub roots: Vec<Vec<u8>>,
    /// The certificate chain and the key in PEM that the client shows.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
    /// Believe any server: whoever is in between can read and change everything.
    pub accept_invalid: bool,
}

impl std::fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the key.
        f.debug_struct("TlsOptions")
            .field("roots", &self.roots.len())
            .field("has_client_certificate", &self.client.is_some())
            .field("accept_invalid", &self.accept_invalid)
            .finish()
    }
}

impl TlsOptions {
    /// Rustls' configuration.
    ///
    /// # Examples
    ///
    /// ```
    /// use kokanee_net::TlsOptions;
    ///
    /// let options = TlsOptions { roots: vec![b"not a certificate".to_vec()], ..TlsOptions::default() };
    /// assert!(options.configure().is_err());
    /// ```
    ///
    /// # Errors
    /// [`NetError::Tls`] with what cannot be used.
    pub fn configure(&self) -> Result<ClientConfig, NetError> {
        let builder = client_config();
        let builder = if self.accept_invalid {
            believe_anything(builder)
        } else {
            let unusable = |reason: &dyn std::fmt::Display| failed(&"trusted certificates", reason);
            let mut roots = system_roots().clone();
            for pem in &self.roots {
                for certificate in certificates(pem).map_err(|reason| unusable(&reason))? {
                    roots.add(certificate).map_err(|reason| unusable(&reason))?;
                }
            }
            builder.with_root_certificates(roots)
        };
        let Some((chain, key)) = &self.client else {
            return Ok(builder.with_no_client_auth());
        };
        let unusable = |reason: &dyn std::fmt::Display| failed(&"client certificate", reason);
        let chain = certificates(chain).map_err(|reason| unusable(&reason))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|reason| unusable(&reason))?;
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|reason| unusable(&reason))
    }
}

fn believe_anything(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::clone(builder.crypto_provider());
    builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAnything(provider)))
}

/// Returns the certificates that the system trusts, read once.
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
