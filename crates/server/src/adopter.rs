//! Connections that another listener has accepted, perhaps in another process, and that move here: see `moving.rs`.

use std::{io, net::SocketAddr, os::fd::OwnedFd, sync::Arc};

use tokio::net::{TcpStream, UnixStream};

use crate::{
    acceptor::Accept,
    listen::{Listener, Site, serve_connection},
    server::Server,
};

/// Serves connections that another listener has accepted as a [`Listener`] serves its own.
#[doc(hidden)]
#[derive(Clone)]
pub struct Adopter(Site);

impl std::fmt::Debug for Adopter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Adopter")
    }
}

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
        address: Option<SocketAddr>,
        stays: bool,
    ) -> io::Result<()> {
        let mut site = self.0.clone();
        if stays {
            Arc::make_mut(&mut site.routing).mover = None;
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

impl<L: Accept> Listener<L> {
    /// Returns what serves connections that another listener has accepted as this one serves its own.
    #[doc(hidden)]
    pub fn adopter(&self) -> Adopter {
        Adopter(self.site())
    }
}

impl Server {
    /// Returns what serves connections of which something was read already, as [`serve_stream`](Self::serve_stream) does.
    #[doc(hidden)]
    pub fn adopter(&self) -> Adopter {
        Adopter(self.site())
    }
}
