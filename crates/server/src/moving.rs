//! A connection that leaves its listener while a request is answered, and one that comes to it: so the processes of a host
//! give each other connections.

#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::{
    any::{Any, TypeId},
    sync::Arc,
};

use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

#[cfg(unix)]
use crate::listen::{Site, serve_connection};
use crate::watched::Watch;

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
#[derive(Debug, Clone)]
pub struct Moving(pub(crate) Arc<Watch>);

#[cfg(unix)]
impl Moving {
    /// Gives the connection to a function, with what was read after the request, as soon as all earlier responses are written.
    /// The body of the request must have been read. The future that answers the request is dropped, and must not end before.
    #[doc(hidden)]
    pub fn give(&self, taker: impl FnOnce(OwnedFd, Vec<u8>) + Send + 'static) {
        self.0.set_taker(Box::new(|stream, unread| {
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
    }
}

/// Serves connections that another listener has accepted as a [`Listener`](crate::Listener) serves its own.
#[cfg(unix)]
#[doc(hidden)]
#[derive(Clone)]
pub struct Adopter {
    pub(crate) site: Site,
}

#[cfg(unix)]
impl std::fmt::Debug for Adopter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Adopter")
    }
}

#[cfg(unix)]
impl Adopter {
    /// Serves a plain connection of which something was read already, and does not move it again if it `stays`. Returns when
    /// it has ended.
    ///
    /// # Errors
    /// When the descriptor is not a socket.
    #[doc(hidden)]
    pub async fn serve(
        &self,
        descriptor: OwnedFd,
        read: Vec<u8>,
        address: Option<std::net::SocketAddr>,
        stays: bool,
    ) -> std::io::Result<()> {
        let mut site = self.site.clone();
        if stays {
            Arc::make_mut(&mut site.routing).moves = false;
        }
        let socket = socket2::Socket::from(descriptor);
        socket.set_nonblocking(true)?;
        if socket.domain()? == socket2::Domain::UNIX {
            let stream = UnixStream::from_std(socket.into())?;
            serve_connection(site, stream, read, address, false).await;
        } else {
            let stream = TcpStream::from_std(socket.into())?;
            serve_connection(site, stream, read, address, false).await;
        }
        Ok(())
    }
}
