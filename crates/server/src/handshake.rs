//! What the application can ask about the first request of a session.

use std::time::{Duration, SystemTime};

use http::{Extensions, HeaderName, HeaderValue, header};
use percent_encoding::percent_decode_str;

use crate::{request_head::RequestHead, socket::Socket};

/// How a client came: the first HTTP request of its session, and what it sent with CONNECT.
///
/// Available as an extractor, and from [`Socket::handshake`](crate::Socket::handshake).
#[derive(Debug, Clone)]
pub struct Handshake {
    pub(crate) socket: Socket,
}

impl Handshake {
    fn head(&self) -> &RequestHead {
        &self.socket.mailbox().head
    }

    /// The value of a header, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head()
            .headers()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// All headers.
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

    /// Path and query of the request.
    pub fn url(&self) -> &str {
        self.head().target()
    }

    /// A parameter of the query; of repeated ones the last.
    pub fn query(&self, name: &str) -> Option<String> {
        self.query_pairs()
            .into_iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// All parameters of the query, in order.
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        let query = self.url().split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect()
    }

    /// The client's address, if the host of the server knows it: that of the connection's other end, or what a proxy says
    /// of it that is [trusted](crate::ServerBuilder::trust_proxies). The port is 0 if the proxy does not say it.
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        self.socket.mailbox().address
    }

    /// Returns the value of a cookie of the request, with its percent-encoding decoded and without quotes around it. Of several
    /// with the name the first, which is that of the longest path.
    ///
    /// A browser may send cookies with the requests of other sites' pages, too, unless they are `SameSite`. Where they are a
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
    /// A layer that knows the user by a cookie knows it for other sites' pages, too: what [`cookie`](Self::cookie) says of them
    /// holds here as well.
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

    /// When the session was opened.
    pub fn issued(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.head().issued)
    }

    /// Whether the client's connection is encrypted, as far as the server and the proxies that it trusts know.
    pub fn secure(&self) -> bool {
        self.head().secure
    }

    /// Whether the request carried an `Origin`: it comes from a browser's page.
    pub fn xdomain(&self) -> bool {
        self.header("origin").is_some()
    }

    /// Returns what the client sent with CONNECT as `auth`, in the type you expect. Absent auth is an empty object, `{}`.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn auth<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.socket.auth()
    }
}

/// The value of a cookie in a line of them. Spec: RFC 6265 5.4; values are quoted and percent-encoded by habit.
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
