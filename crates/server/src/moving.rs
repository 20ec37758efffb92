//! A connection that leaves its listener while a request is answered, for another process of the host: see `adopter.rs`.

#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::{
    any::{Any, TypeId},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::stream_end::StreamEnd;

/// Takes the stream of a listener, and what was read of it after the request.
pub(crate) type Taker = Box<dyn FnOnce(Box<dyn Any + Send>, Vec<u8>) + Send>;

/// Returns whether a stream can be moved: all of it is in the system, and it is not encrypted.
pub(crate) fn is_plain<S: 'static>() -> bool {
    let stream = TypeId::of::<S>();
    #[cfg(unix)]
    if stream == TypeId::of::<UnixStream>() {
        return true;
    }
    cfg!(unix) && stream == TypeId::of::<TcpStream>()
}

/// Moves the connection of a request away from its listener. In the extensions of requests that a fallback of a listener with
/// [`let_move`](crate::Listener::let_move) gets, unless the connection is encrypted.
#[doc(hidden)]
#[derive(Clone)]
pub struct Moving {
    taker: Arc<Mutex<Option<Taker>>>,
    end: StreamEnd,
}

impl std::fmt::Debug for Moving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Moving")
    }
}

impl Moving {
    /// Moves the connection whose stream ends with this.
    pub(crate) fn of(end: &StreamEnd) -> Self {
        Self {
            taker: Arc::default(),
            end: end.clone(),
        }
    }

    /// Gives the connection to a function, with what was read after the request, as soon as all earlier responses are written.
    /// The body of the request must have been read. The future that answers the request is dropped, and must not end before.
    #[cfg(unix)]
    #[doc(hidden)]
    pub fn give(&self, taker: impl FnOnce(OwnedFd, Vec<u8>) + Send + 'static) {
        *self.taker.lock() = Some(Box::new(|stream, unread| {
            let descriptor = match stream.downcast::<TcpStream>() {
                Ok(tcp) => tcp.into_std().map(OwnedFd::from),
                Err(stream) => match stream.downcast::<UnixStream>() {
                    Ok(unix) => unix.into_std().map(OwnedFd::from),
                    Err(_) => return,
                },
            };
            match descriptor {
                Ok(descriptor) => taker(descriptor, unread),
                Err(error) => tracing::debug!(%error, "a connection was not moved"),
            }
        }));
        self.end.leave();
    }

    /// Returns who takes the connection, if it moves.
    pub(crate) fn taker(&self) -> Option<Taker> {
        self.taker.lock().take()
    }
}
