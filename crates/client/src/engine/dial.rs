//! From an address to a stream: DNS, TCP or a Unix socket, a proxy, TLS.

use std::io;

use kokanee_io::Stream;
use tokio::net::{TcpStream, lookup_host};

use super::{EngineConfig, tls};
use crate::ConnectFailure;

/// Opens a stream to the server.
pub(crate) async fn dial(config: &EngineConfig) -> Result<Stream, ConnectFailure> {
    let target = &config.target;
    let stream = match (&config.unix_socket, &config.proxy) {
        #[cfg(unix)]
        (Some(path), _) => {
            let stream = tokio::net::UnixStream::connect(path).await;
            Stream::Other(Box::pin(stream.map_err(|source| {
                ConnectFailure::Unreachable {
                    address: path.display().to_string(),
                    source,
                }
            })?))
        }
        #[cfg(not(unix))]
        (Some(_), _) => {
            return Err(ConnectFailure::Option {
                option: "unix_socket",
                reason: "this system has none".to_owned(),
            });
        }
        (None, Some(proxy)) => {
            let mut stream = connect(&proxy.host, proxy.port).await?;
            proxy.tunnel(&mut stream, target).await?;
            Stream::Tcp(stream)
        }
        (None, None) => Stream::Tcp(connect(&target.host, target.port).await?),
    };
    match &config.tls {
        Some(tls) => tls::connect(tls, &target.host, stream).await,
        None => Ok(stream),
    }
}

/// Connects to the first address of a host that answers.
async fn connect(host: &str, port: u16) -> Result<TcpStream, ConnectFailure> {
    let addresses = lookup_host((host, port)).await;
    let addresses = addresses.map_err(|source| ConnectFailure::Dns {
        host: host.to_owned(),
        source,
    })?;
    let mut failure = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Small frames must not wait for each other; without it the client is only slower.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(source) => failure = Some((address, source)),
        }
    }
    Err(match failure {
        Some((address, source)) => ConnectFailure::Unreachable {
            address: address.to_string(),
            source,
        },
        None => ConnectFailure::Dns {
            host: host.to_owned(),
            source: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
        },
    })
}
