//! A request's extensions: the peer's address, which the host inserts, and the extensions that a session keeps.

use std::net::SocketAddr;

use http::Extensions;
use hyper::upgrade::OnUpgrade;

use crate::cookie::CookieAttributes;

/// Gives the peer's address to a server in a host application: a host that knows the address inserts it into the request's
/// extensions.
///
/// The server then counts sessions per address and shows it in the [`Handshake`](crate::Handshake). If the address is that of a
/// [trusted](crate::ServerBuilder::trust_proxies) proxy, the proxy's headers say which client the request is from. In the
/// request of [`allow_request`](crate::ServerBuilder::allow_request), it is the client's address.
///
/// With the feature `axum`, axum's `ConnectInfo<SocketAddr>` is used if this is missing: serve with
/// `app.into_make_service_with_connect_info::<SocketAddr>()`.
///
/// ```
/// # use std::net::SocketAddr;
/// use kokanee_server::PeerAddress;
///
/// // In a loop that accepts connections for hyper, before the request is passed to the service:
/// fn with_address<B>(mut request: http::Request<B>, address: SocketAddr) -> http::Request<B> {
///     request.extensions_mut().insert(PeerAddress(address));
///     request
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Says that the host cannot give the connections of a client over to a WebSocket: a host application inserts it into the
/// extensions of such a request.
///
/// The handshake of a session that the request opens then offers no upgrade, which clients could not complete.
///
/// ```
/// use kokanee_server::NoUpgrade;
///
/// // In a host whose requests have no connection, such as a function in a cloud:
/// fn without_connection<B>(mut request: http::Request<B>) -> http::Request<B> {
///     request.extensions_mut().insert(NoUpgrade);
///     request
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoUpgrade;

/// Says that the host has checked the origin of the page that a request is from: the server does not do it again.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginChecked;

/// Returns the peer's address, if the host has inserted it.
pub(crate) fn address_of(extensions: &Extensions) -> Option<SocketAddr> {
    let address = extensions.get().map(|PeerAddress(address)| *address);
    #[cfg(feature = "axum")]
    let address = address.or_else(|| {
        let info = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>()?;
        Some(info.0)
    });
    address
}

/// Returns the extensions that are kept as long as the session, without those that the server has read already and those
/// that keep the host's connection or its read buffer alive.
pub(crate) fn kept(extensions: &Extensions) -> Extensions {
    if extensions.is_empty() {
        return Extensions::new();
    }
    let mut kept = extensions.clone();
    kept.remove::<OnUpgrade>();
    kept.remove::<PeerAddress>();
    kept.remove::<NoUpgrade>();
    kept.remove::<CookieAttributes>();
    kept.remove::<OriginChecked>();
    #[cfg(feature = "axum")]
    {
        kept.remove::<axum::extract::ConnectInfo<SocketAddr>>();
        kept.remove::<axum::extract::OriginalUri>();
    }
    if kept.is_empty() {
        // A map that is emptied keeps its table.
        return Extensions::new();
    }
    kept
}
