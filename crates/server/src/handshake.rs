//! What the application can ask about the first request of a session.

use std::time::{Duration, SystemTime};

use http::{Extensions, HeaderName, HeaderValue, header};
use percent_encoding::percent_decode_str;

use crate::{request_head::RequestHead, socket::Socket};

/// Describes how a client connected: the first HTTP request of its session, and its `auth` from CONNECT.
///
/// An extractor of every handler and middleware; also returned by [`Socket::handshake`](crate::Socket::handshake).
///
/// ```
/// # use kokanee_server::{Handshake, Server};
/// # let io = Server::new();
/// io.on_connect(async |handshake: Handshake| {
///     println!("{:?} asks for {}", handshake.address(), handshake.url());
/// });
/// ```
#[derive(Debug, Clone)]
pub struct Handshake {
    pub(crate) socket: Socket,
}

impl Handshake {
    fn head(&self) -> &RequestHead {
        &self.socket.mailbox().head
    }

    /// Returns the value of a header, if it exists and is text. Names are compared without regard to case.
    ///
    /// ```
    /// # use kokanee_server::{Handshake, Server};
    /// # let io = Server::new();
    /// io.middleware(async |handshake: Handshake| match handshake.header("x-api-key") {
    ///     Some("secret") => Ok(()),
    ///     _ => Err("wrong API key"),
    /// });
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head()
            .headers()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// Returns a copy of all headers.
    pub fn headers(&self) -> http::HeaderMap {
        self.head()
            .headers()
            .filter_map(|(name, value)| {
                Some((
                    HeaderName::try_from(name).ok()?,
                    HeaderValue::from_bytes(value).ok()?,
                ))
            })
            .collect()
    }

    /// Returns the path and query of the request.
    pub fn url(&self) -> &str {
        self.head().target()
    }

    /// Returns a parameter of the query, with its percent-encoding decoded; the last one if there are several.
    ///
    /// ```
    /// # use kokanee_server::{Handshake, Server, Socket};
    /// # let io = Server::new();
    /// // In JavaScript: io({ query: { room: "lobby" } })
    /// io.on_connect(async |socket: Socket, handshake: Handshake| match handshake.query("room") {
    ///     Some(room) => socket.join(room),
    ///     None => Ok(()),
    /// });
    /// ```
    pub fn query(&self, name: &str) -> Option<String> {
        self.query_pairs()
            .into_iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// Returns all parameters of the query, in their order, including those of the protocol (`EIO`, `transport`).
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        let query = self.url().split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect()
    }

    /// Returns the client's address, if the server's host knows it: that of the connection's other end, or the one that a
    /// [trusted](crate::ServerBuilder::trust_proxies) proxy reports. The port is 0 if the proxy does not report it.
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        self.socket.mailbox().address
    }

    /// Returns the value of a cookie of the request, with its percent-encoding decoded and without quotes around it. If there
    /// are several of the name, returns the first, which is the one with the longest path.
    ///
    /// A browser may send cookies with the requests of other sites' pages, too, unless they are `SameSite`. If a cookie is a
    /// login, name the pages that may connect: [`Cors::credentials`](crate::Cors::credentials) refuses all others.
    ///
    /// ```no_run
    /// # use kokanee_server::{ConnectError, Handshake, Server, Socket};
    /// # fn user_of(session: &str) -> Option<String> { None }
    /// # let io = Server::new();
    /// io.middleware(async |socket: Socket, handshake: Handshake| {
    ///     let session = handshake.cookie("session").unwrap_or_default();
    ///     let user = user_of(&session).ok_or_else(|| ConnectError::new("log in first").data(401))?;
    ///     socket.insert(user);
    ///     Ok::<_, ConnectError>(())
    /// });
    /// ```
    pub fn cookie(&self, name: &str) -> Option<String> {
        let mut lines = self
            .head()
            .headers()
            .filter(|(header, _)| *header == header::COOKIE.as_str())
            .filter_map(|(_, line)| std::str::from_utf8(line).ok());
        lines.find_map(|line| cookie(line, name))
    }

    /// Returns what layers in front of this server have put into the extensions of the request: a session, a user. Empty if
    /// the server listens itself.
    ///
    /// Values are kept as long as the session, and cloned for each: put large ones in an [`Arc`](std::sync::Arc). Not there: what the server has read itself ([`PeerAddress`](crate::PeerAddress), axum's
    /// `ConnectInfo<SocketAddr>`), hyper's `OnUpgrade`, axum's `OriginalUri`; and nothing at all for pages that are
    /// [served without their visitors' cookies](crate::Cors::any).
    ///
    /// A layer that finds the user by a cookie finds it for other sites' pages, too: the advice at [`cookie`](Self::cookie)
    /// applies here as well.
    ///
    /// ```
    /// # use kokanee_server::{ConnectError, Handshake, Server, Socket};
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// let io = Server::new();
    /// io.middleware(async |socket: Socket, handshake: Handshake| {
    ///     let user = handshake.extensions().get::<User>();
    ///     socket.insert(user.ok_or_else(|| ConnectError::new("log in first"))?.clone());
    ///     Ok::<_, ConnectError>(())
    /// });
    /// ```
    pub fn extensions(&self) -> &Extensions {
        &self.head().extensions
    }

    /// Returns the time at which the session was opened.
    pub fn issued(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.head().issued)
    }

    /// Returns whether the client's connection is encrypted, as far as the server and its trusted proxies know.
    pub fn secure(&self) -> bool {
        self.head().secure
    }

    /// Returns whether the request had an `Origin` header: whether it comes from a browser's page.
    pub fn xdomain(&self) -> bool {
        self.header("origin").is_some()
    }

    /// Returns the `auth` that the client sent with CONNECT, deserialized to `T`. If the client sent none, it is an empty
    /// object, `{}`. See [`Socket::auth`](crate::Socket::auth).
    ///
    /// # Errors
    /// When `auth` does not fit `T`.
    pub fn auth<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.socket.auth()
    }
}

/// Returns the value of a cookie in a `Cookie` line. Spec: RFC 6265 5.4; quotes and percent-encoding are common practice.
fn cookie(line: &str, name: &str) -> Option<String> {
    let mut pairs = line.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| key.trim() == name)?;
    let value = value.trim();
    let unquoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value);
    let decoded = percent_decode_str(unquoted).decode_utf8();
    Some(decoded.map_or_else(|_| unquoted.to_owned(), std::borrow::Cow::into_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_name_and_decoded() {
        for (line, expected) in [
            ("a=1", Some("1")),
            ("b=2; a=1", Some("1")),
            ("a=1; a=2", Some("1")),
            ("b=2;a = 1 ;c=3", Some("1")),
            ("a=", Some("")),
            ("a=x=y", Some("x=y")),
            ("a=\"q u\"", Some("q u")),
            ("a=%22caf%C3%A9%22", Some("\"caf\u{e9}\"")),
            ("a=s%3Aid.sig%2F", Some("s:id.sig/")),
            ("a=100%; b=2", Some("100%")),
            ("a=%ff", Some("%ff")),
            ("a=\"", Some("\"")),
            ("aa=1; A=2; b=a=3", None),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(cookie(line, "a").as_deref(), expected, "{line}");
        }
    }
}
