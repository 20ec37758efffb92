//! A connection that leaves its listener with a request, for another process of the host: see `adopter.rs`.

#[cfg(not(unix))]
use std::convert::Infallible as OwnedFd;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::{any::TypeId, io, net::SocketAddr, sync::Arc, time::Duration};

use http::{Version, header, request::Parts};
use http_body::Body;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// The largest body of a request with which a connection moves.
pub(crate) const MOST_BODY_BYTES: usize = 64 * 1024;

/// Takes a connection, and what was read of it, beginning with the request.
#[doc(hidden)]
pub type Taker = Box<dyn FnOnce(OwnedFd, Vec<u8>) + Send>;

/// Says who takes the connection of a request, from this address. `None`: it does not move.
type Ask = dyn Fn(&mut Parts, Option<SocketAddr>) -> Option<Taker> + Send + Sync;

/// Decides which requests move with their connection.
#[derive(Clone)]
pub(crate) struct Mover {
    pub(crate) ask: Arc<Ask>,
    /// How long the next part of the body of a request may take.
    pub(crate) timeout: Duration,
}

/// A connection that moves, as soon as all earlier responses are written.
pub(crate) struct Moved {
    pub(crate) taker: Taker,
    /// The request.
    pub(crate) read: Vec<u8>,
}

impl std::fmt::Debug for Moved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Moved")
    }
}

impl Moved {
    /// Gives the stream away, of which this was read after the request.
    pub(crate) fn give<S: 'static>(mut self, stream: S, unread: &[u8]) {
        match descriptor_of(stream) {
            Ok(descriptor) => {
                self.read.extend_from_slice(unread);
                (self.taker)(descriptor, self.read);
            }
            Err(error) => tracing::debug!(%error, "a connection was not moved"),
        }
    }
}

/// Returns whether a stream can be moved: all of it is in the system, and it is not encrypted.
pub(crate) fn is_plain<S: 'static>() -> bool {
    let stream = TypeId::of::<S>();
    #[cfg(unix)]
    if stream == TypeId::of::<UnixStream>() {
        return true;
    }
    cfg!(unix) && stream == TypeId::of::<TcpStream>()
}

fn descriptor_of<S: 'static>(stream: S) -> io::Result<OwnedFd> {
    #[cfg(unix)]
    {
        let mut stream = Some(stream);
        let any: &mut dyn std::any::Any = &mut stream;
        if let Some(tcp) = any.downcast_mut::<Option<TcpStream>>() {
            return tcp
                .take()
                .map_or_else(unsupported, |it| Ok(it.into_std()?.into()));
        }
        if let Some(unix) = any.downcast_mut::<Option<UnixStream>>() {
            return unix
                .take()
                .map_or_else(unsupported, |it| Ok(it.into_std()?.into()));
        }
    }
    unsupported()
}

fn unsupported() -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns whether a connection can move with a request. What is read in chunks loses their form, and the connection of an old
/// client ends after the response.
pub(crate) fn can_move_with(parts: &Parts, body: &impl Body) -> bool {
    let size = body.size_hint().exact();
    parts.version == Version::HTTP_11
        && !parts.headers.contains_key(header::TRANSFER_ENCODING)
        && size.is_some_and(|size| size <= MOST_BODY_BYTES as u64)
}

/// Returns the head of a request as its client has sent it, except for the case of the names of its headers, with room for its
/// body.
pub(crate) fn head_bytes(parts: &Parts, body: &impl Body) -> Vec<u8> {
    let target = parts.uri.path_and_query().map_or("/", |it| it.as_str());
    let line = [parts.method.as_str(), " ", target, " HTTP/1.1\r\n"];
    let fields = parts.headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + 3);
    let body = usize::try_from(body.size_hint().lower()).unwrap_or_default();
    let line_bytes: usize = line.iter().map(|word| word.len()).sum();
    let mut bytes = Vec::with_capacity(line_bytes + fields.sum::<usize>() + 2 + body);
    for word in line {
        bytes.extend_from_slice(word.as_bytes());
    }
    for (name, value) in &parts.headers {
        // The body was read, and is not waited for.
        if name != header::EXPECT {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b":");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}
