//! TLS by rustls: the configuration that connections share, and the handshake.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use kokanee_io::Stream;
use kokanee_net::TlsOptions;
use rustls_pki_types::ServerName;
use tokio_rustls::{TlsConnector, rustls::ClientConfig};

use crate::ConnectFailure;

/// Rustls' configuration: without options one for all clients, which keeps the system's certificates once.
pub(crate) fn configure(options: &TlsOptions) -> Result<Arc<ClientConfig>, ConnectFailure> {
    static PLAIN: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if !options.roots.is_empty() || options.client.is_some() || options.accept_invalid {
        return make(options);
    }
    match PLAIN.get() {
        Some(config) => Ok(Arc::clone(config)),
        None => make(options).map(|config| Arc::clone(PLAIN.get_or_init(|| config))),
    }
}

fn make(options: &TlsOptions) -> Result<Arc<ClientConfig>, ConnectFailure> {
    let mut config = options
        .configure()
        .map_err(|error| ConnectFailure::Option {
            option: "TLS",
            reason: error.to_string(),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
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
