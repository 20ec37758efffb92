//! [`Endpoint`]: one end of a connection, and the resolution of names to addresses.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::error::NetError;

/// One end of a connection: an address of TCP or UDP, or a Unix socket.
///
/// # Examples
///
/// ```
/// use std::net::SocketAddr;
/// use kokanee_net::Endpoint;
///
/// let peer = Endpoint::from(SocketAddr::from(([10, 0, 0, 7], 5000)));
/// assert_eq!(peer.to_string(), "10.0.0.7:5000");
/// assert_eq!(Endpoint::Unix("/run/chat.sock".into()).to_string(), "/run/chat.sock");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An IP address with its port.
    Inet(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// A Unix socket without a path, as clients usually have.
    Unnamed,
}

impl Endpoint {
    /// Returns the IP address, if it has one.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(conn: &kokanee_net::Connection) {
    /// match conn.peer().inet() {
    ///     Some(address) => println!("IP address {}", address.ip()),
    ///     None => println!("a process of this machine"),
    /// }
    /// # }
    /// ```
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            Self::Unix(_) | Self::Unnamed => None,
        }
    }

    /// Returns the path, if it has one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Inet(_) | Self::Unnamed => None,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    /// Converts an IPv4-mapped IPv6 address to IPv4, so that a peer of a dual-stack socket is shown and compared by its
    /// IPv4 address.
    fn from(address: SocketAddr) -> Self {
        Self::Inet(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

#[cfg(unix)]
impl From<tokio::net::unix::SocketAddr> for Endpoint {
    fn from(address: tokio::net::unix::SocketAddr) -> Self {
        match address.as_pathname() {
            Some(path) => Self::Unix(path.to_owned()),
            None => Self::Unnamed,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
            Self::Unnamed => f.write_str("a Unix socket without a name"),
        }
    }
}

/// Resolves `host:port` to its addresses, at least one.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kokanee_net::NetError> {
/// use kokanee_net::{NetError, resolve};
///
/// let addresses = resolve("127.0.0.1:5000").await?;
/// assert_eq!(addresses, ["127.0.0.1:5000".parse().unwrap()]);
/// assert!(matches!(resolve("127.0.0.1").await, Err(NetError::NotAnAddress { .. })));
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`NetError::NotAnAddress`] or [`NetError::UnknownHost`].
pub async fn resolve(address: &str) -> Result<Vec<SocketAddr>, NetError> {
    let (host, port) = split(address)?;
    let unknown = || NetError::UnknownHost {
        host: host.to_owned(),
    };
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|_reason| unknown())?;
    let addresses: Vec<_> = found.collect();
    if addresses.is_empty() {
        return Err(unknown());
    }
    Ok(addresses)
}

/// Splits `host:port`; an IPv6 address is in brackets.
pub(crate) fn split(address: &str) -> Result<(&str, u16), NetError> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| {
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        let is_number = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
        (is_number && !host.is_empty()).then_some((host, port.parse().ok()?))
    });
    parts.ok_or_else(|| NetError::NotAnAddress {
        text: address.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        assert_eq!(split("localhost:5000").expect("valid"), ("localhost", 5000));
        assert_eq!(split("[::1]:0").expect("valid"), ("::1", 0));
        for wrong in [
            "",
            "localhost",
            ":5000",
            "localhost:",
            "localhost:+5",
            "localhost:65536",
            "::1:5000",
            "[::1]",
            "[::1:5000",
            "localhost:http",
        ] {
            let error = split(wrong).expect_err(wrong).to_string();
            assert!(
                error.starts_with(&format!("not an address: {wrong};")),
                "{error}"
            );
        }
    }

    #[test]
    fn an_ipv4_peer_of_an_ipv6_socket_is_an_ipv4_peer() {
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:5000".parse().expect("an address");
        assert_eq!(Endpoint::from(mapped).to_string(), "127.0.0.1:5000");
    }
}
