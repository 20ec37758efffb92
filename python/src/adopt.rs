//! Connections that a host has accepted and whose request it has read: the engine answers on a duplicate of the descriptor.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
};

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use kokanee_server::Server;
use socket2::{Domain, Socket};
use tokio::{
    net::{TcpStream, UnixStream},
    runtime::Handle,
};

/// Duplicates a descriptor of the host.
#[expect(
    unsafe_code,
    reason = "a descriptor's number comes from Python, where it has no type"
)]
fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: the number is only used for this call, which fails if it is not an open descriptor. The duplicate is new.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    borrowed.try_clone_to_owned()
}

/// Answers a request on the host's connection; the host does not use it any more.
pub(crate) fn adopt(
    server: &Server,
    runtime: &Handle,
    fd: RawFd,
    request: Request<Empty<Bytes>>,
    unread: Vec<u8>,
    address: Option<std::net::SocketAddr>,
) -> io::Result<()> {
    let socket = Socket::from(duplicate(fd)?);
    socket.set_nonblocking(true)?;
    let is_unix = socket.domain()? == Domain::UNIX;
    let server = server.clone();
    let _inside = runtime.enter();
    if is_unix {
        let stream = UnixStream::from_std(socket.into())?;
        runtime.spawn(async move {
            report(server.accept(stream, request, &unread, address).await);
        });
    } else {
        let stream = TcpStream::from_std(socket.into())?;
        runtime.spawn(async move {
            report(server.accept(stream, request, &unread, address).await);
        });
    }
    Ok(())
}

fn report(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended before its answer was written");
    }
}
