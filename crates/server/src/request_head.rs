//! What a session keeps of its first request: target and headers in one allocation, none of the server's buffers; and the
//! extensions that the host's layers have added.

use std::time::SystemTime;

use http::{Extensions, request::Parts};
use memchr::memmem;

use crate::extensions::kept;

/// The head of the request that opened a session: target and headers, copied into one compact allocation, and its extensions.
#[derive(Debug, Clone)]
pub(crate) struct RequestHead {
    /// Target, then name and value of each header, each after its length: see [`RequestHead::fields`].
    text: Box<[u8]>,
    /// Nanoseconds since the epoch of Unix.
    pub(crate) issued: u64,
    pub(crate) secure: bool,
    pub(crate) extensions: Extensions,
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
            // Heads are limited to far less than 64 KiB; a longer field is cut.
            let len = u16::try_from(part.len()).unwrap_or(u16::MAX);
            text.extend_from_slice(&len.to_be_bytes());
            text.extend_from_slice(&part[..usize::from(len)]);
        }
        Self {
            text: text.into_boxed_slice(),
            issued: SystemTime::UNIX_EPOCH
                .elapsed()
                .map_or(0, |time| time.as_nanos().try_into().unwrap_or(u64::MAX)),
            secure,
            extensions: kept(&parts.extensions),
        }
    }

    /// Iterates over the target, then the name and value of each header in turn.
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

    /// Returns whether the client is python-socketio's, by its HTTP library.
    pub(crate) fn is_of_python_client(&self) -> bool {
        self.headers().any(|(name, value)| {
            name == "user-agent"
                && (value.starts_with(b"python-requests/")
                    || memmem::find(value, b" aiohttp/").is_some())
        })
    }

    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut fields = self.fields().skip(1);
        std::iter::from_fn(move || {
            let name = std::str::from_utf8(fields.next()?).ok()?;
            Some((name, fields.next()?))
        })
    }
}
