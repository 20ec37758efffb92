//! From an address to a stream: DNS, TCP or a Unix socket, a proxy, TLS.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt};
use kokanee_io::Stream;
use tokio::net::{TcpStream, lookup_host};

use super::{config::EngineConfig, error::ConnectFailure, tls};

/// Time that an address has before the next one is tried beside it. Source: RFC 8305, section 8.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

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
                    source: source.into(),
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
    let dns = |source: io::Error| ConnectFailure::Dns {
        host: host.to_owned(),
        source: source.into(),
    };
    let addresses = lookup_host((host, port)).await.map_err(dns)?;
    match connect_any(by_turns(addresses.collect())).await {
        Ok(stream) => {
            // Small frames must not wait for each other; without it the client is only slower.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Err(Some((address, source))) => Err(ConnectFailure::Unreachable {
            address: address.to_string(),
            source: source.into(),
        }),
        Err(None) => {
            let kind = io::ErrorKind::NotFound;
            Err(dns(io::Error::new(kind, "the name has no address")))
        }
    }
}

/// The families by turns, beginning with the first one: where one of them leads nowhere, the other comes soon.
fn by_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == first_is_v4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    std::iter::from_fn(|| match first.next() {
        Some(address) => Some([Some(address), second.next()]),
        None => second.next().map(|address| [None, Some(address)]),
    })
    .flatten()
    .flatten()
    .collect()
}

/// Connects to the address that answers first. An address that says nothing does not hold up the next one. Spec: RFC 8305,
/// "Happy Eyeballs". The error is that of the last address.
async fn connect_any(
    addresses: Vec<SocketAddr>,
) -> Result<TcpStream, Option<(SocketAddr, io::Error)>> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = None;
    loop {
        let next = waiting.next();
        let delay = next.map_or(Duration::MAX, |_| ATTEMPT_DELAY);
        attempts.extend(next.map(|address| async move {
            let stream = TcpStream::connect(address).await;
            stream.map_err(|error| (address, error))
        }));
        match tokio::time::timeout(delay, attempts.next()).await {
            Ok(Some(Ok(stream))) => return Ok(stream),
            Ok(Some(Err(error))) => failure = Some(error),
            Ok(None) => return Err(failure),
            // The next one beside it.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn families_take_turns() {
        let parse = |addresses: &[&str]| -> Vec<SocketAddr> {
            let parsed = addresses.iter().map(|address| address.parse());
            parsed.collect::<Result<_, _>>().expect("addresses")
        };
        for (given, ordered) in [
            (
                ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"],
                ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"],
            ),
            (
                ["1.1.1.1:1", "[::1]:1", "[::2]:1", "[::3]:1"],
                ["1.1.1.1:1", "[::1]:1", "[::2]:1", "[::3]:1"],
            ),
        ] {
            assert_eq!(by_turns(parse(&given)), parse(&ordered));
        }
        assert_eq!(by_turns(Vec::new()), []);
    }

    /// A port whose connections are never answered, because nobody accepts those that wait.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_address_that_is_silent_does_not_hold_up_the_next() {
        let deaf = tokio::net::TcpSocket::new_v4().expect("a socket");
        deaf.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        // As few as possible may wait.
        let deaf = deaf.listen(0).expect("listens");
        let silent = deaf.local_addr().expect("bound");
        let mut full = Vec::new();
        while let Ok(stream) =
            tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(silent)).await
        {
            full.push(stream.expect("connected"));
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let limit = Duration::from_secs(10);
        let stream = tokio::time::timeout(limit, connect_any(vec![silent, address]));
        let stream = stream.await.expect("in time").expect("connected");
        assert_eq!(stream.peer_addr().expect("connected"), address);
    }

    #[tokio::test]
    async fn the_last_failure_is_told() {
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.local_addr().expect("bound")
        };
        let addresses = vec![free(), free()];
        let failure = connect_any(addresses.clone()).await.expect_err("refused");
        let (address, error) = failure.expect("a failure");
        assert_eq!(address, addresses[1]);
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(connect_any(Vec::new()).await.expect_err("none").is_none());
    }
}
