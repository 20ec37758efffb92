//! TLS by rustls: the configuration that connections share, and the handshake.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use kokanee_io::Stream;
use kokanee_net::{TlsOptions, tls_hint};
use rustls_pki_types::ServerName;
use tokio_rustls::{TlsConnector, rustls::ClientConfig};

use super::error::ConnectFailure;

/// What the application says about TLS. Clones share it, and the configuration that is made of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    options: Arc<TlsOptions>,
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Tls {
    /// The options, to be changed: this clone does not share any more.
    pub(crate) fn change(&mut self) -> &mut TlsOptions {
        self.config = Arc::default();
        Arc::make_mut(&mut self.options)
    }

    /// Rustls' configuration: without options one for all clients, which keeps the system's certificates once.
    pub(crate) fn configure(&self) -> Result<Arc<ClientConfig>, ConnectFailure> {
        static PLAIN: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        let TlsOptions {
            roots,
            client,
            accept_invalid,
        } = &*self.options;
        let is_plain = roots.is_empty() && client.is_none() && !accept_invalid;
        let shared = if is_plain { &PLAIN } else { &*self.config };
        match shared.get() {
            Some(config) => Ok(Arc::clone(config)),
            None => make(&self.options).map(|config| Arc::clone(shared.get_or_init(|| config))),
        }
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
    let failed = |source: io::Error| ConnectFailure::Tls {
        host: host.to_owned(),
        hint: tls_hint(&source)
            .unwrap_or("is the certificate valid for this name, and its issuer trusted?"),
        source: source.into(),
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let connector = TlsConnector::from(Arc::clone(config));
    let tls = connector.connect(name, stream).await.map_err(failed)?;
    Ok(Stream::Other(Box::pin(tls)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_their_configuration_until_one_is_changed() {
        let mut tls = Tls::default();
        tls.change().accept_invalid = true;
        let mut other = tls.clone();
        let config = tls.configure().expect("valid options");
        assert!(Arc::ptr_eq(
            &config,
            &other.configure().expect("valid options")
        ));
        other.change().accept_invalid = true;
        assert!(!Arc::ptr_eq(
            &config,
            &other.configure().expect("valid options")
        ));
    }
}
