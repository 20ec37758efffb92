//! What a session keeps of its first request: one allocation, and nothing of the server's buffers.

use std::time::SystemTime;

use http::{HeaderName, HeaderValue, request::Parts};

/// The head of the request that opened a session: target and headers, copied into one compact allocation.
#[derive(Debug, Clone)]
pub(crate) struct RequestHead {
    /// Target, then name and value of each header, with lengths in between: see [`RequestHead::fields`].
    text: Box<[u8]>,
    pub(crate) issued: SystemTime,
    pub(crate) secure: bool,
}

impl RequestHead {
    pub(crate) fn new(parts: &Parts, secure: bool) -> Self {
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str);
        let fields = || {
            parts
                .headers
                .iter()
                .map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()])
        };
        let size = 2 + target.len() + fields().flatten().map(|part| 2 + part.len()).sum::<usize>();
        let mut text = Vec::with_capacity(size);
        for part in std::iter::once(target.as_bytes()).chain(fields().flatten()) {
            // Heads are limited to far less than 64 KiB; what is longer all the same is cut.
            let len = u16::try_from(part.len()).unwrap_or(u16::MAX);
            text.extend_from_slice(&len.to_be_bytes());
            text.extend_from_slice(&part[..usize::from(len)]);
        }
        Self {
            text: text.into_boxed_slice(),
            issued: SystemTime::now(),
            secure,
        }
    }

    /// The target, then names and values in turn.
    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.text;
        std::iter::from_fn(move || {
            let (len, after) = rest.split_first_chunk::<2>()?;
            let (field, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
            rest = after;
            Some(field)
        })
    }

    pub(crate) fn target(&self) -> &str {
        self.fields()
            .next()
            .and_then(|target| std::str::from_utf8(target).ok())
            .unwrap_or_default()
    }

    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut fields = self.fields().skip(1);
        std::iter::from_fn(move || {
            let name = std::str::from_utf8(fields.next()?).ok()?;
            Some((name, fields.next()?))
        })
    }
}

/// How a client came: the first HTTP request of its session, and what it sent with CONNECT.
///
/// Available as an extractor, and from [`Socket::handshake`](crate::Socket::handshake).
#[derive(Debug, Clone)]
pub struct Handshake {
    pub(crate) socket: crate::Socket,
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

    /// When the session was opened.
    pub fn issued(&self) -> SystemTime {
        self.head().issued
    }

    /// Whether the client's connection is encrypted, as far as the server and the proxies that it trusts know.
    pub fn secure(&self) -> bool {
        self.head().secure
    }

    /// Whether the request carried an `Origin`: it comes from a browser's page.
    pub fn xdomain(&self) -> bool {
        self.header("origin").is_some()
    }

    /// What the client sent with CONNECT as `auth`, in the type you expect.
    ///
    /// # Errors
    /// When there is no auth, or it does not fit.
    pub fn auth<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.socket.auth()
    }
}
