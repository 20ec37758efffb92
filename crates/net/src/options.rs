//! Socket options, and the creation of sockets with them.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};

/// The options of TCP sockets.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the system"
)]
/// # Examples
///
/// ```
/// use kokanee_net::{TcpOptions, TcpServer};
///
/// let mut options = TcpOptions::default();
/// options.backlog = 128;
/// let server = TcpServer::builder().with_options(|it| *it = options);
/// ```
pub struct TcpOptions {
    /// Sends small pieces at once instead of collecting them (`TCP_NODELAY`). Default true.
    pub nodelay: bool,
    /// Probes a silent peer after this time (`SO_KEEPALIVE`). Default 60 s.
    pub keepalive: Option<Duration>,
    /// How long closing a socket waits until buffered data is sent (`SO_LINGER`). Default: the system's.
    pub linger: Option<Duration>,
    /// Binds an address even if connections of an earlier server are still in `TIME_WAIT` (`SO_REUSEADDR`). Default
    /// true. Without effect on Windows, where the option has another meaning.
    pub reuse_address: bool,
    /// Lets several sockets share one address; the system distributes the connections (`SO_REUSEPORT`). Default false.
    /// Unix only.
    pub reuse_port: bool,
    /// Size of the system's receive buffer in bytes. Default: the system's.
    pub receive_buffer_bytes: Option<usize>,
    /// Size of the system's send buffer in bytes. Default: the system's.
    pub send_buffer_bytes: Option<usize>,
    /// Connections that the system queues until they are accepted. Default 4,096.
    pub backlog: u32,
    /// Makes a server on `[::]` accept IPv6 only, not IPv4 as well (`IPV6_V6ONLY`). Default false: dual stack.
    pub only_v6: bool,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            nodelay: true,
            keepalive: Some(Duration::from_secs(60)),
            linger: None,
            reuse_address: true,
            reuse_port: false,
            receive_buffer_bytes: None,
            send_buffer_bytes: None,
            backlog: 4096,
            only_v6: false,
        }
    }
}

impl TcpOptions {
    /// Creates a listening socket.
    pub(crate) fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        set_reuse(&socket, self.reuse_address, self.reuse_port)?;
        if address.is_ipv6() {
            socket.set_only_v6(self.only_v6)?;
        }
        // Connections inherit the buffers, which must be known before the first of them to scale the TCP window.
        self.set_buffers(&SockRef::from(&socket))?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(self.backlog).unwrap_or(i32::MAX))?;
        TcpListener::from_std(socket.into())
    }

    /// Creates a socket to connect.
    pub(crate) fn socket(&self, address: SocketAddr) -> io::Result<TcpSocket> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        self.set_buffers(&SockRef::from(&socket))?;
        Ok(socket)
    }

    /// Sets the options of a connection.
    pub(crate) fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        socket.set_tcp_nodelay(self.nodelay)?;
        if let Some(time) = self.keepalive {
            let keepalive = TcpKeepalive::new().with_time(time);
            #[cfg(not(windows))]
            let keepalive = keepalive
                .with_interval(Duration::from_secs(10))
                .with_retries(3);
            socket.set_tcp_keepalive(&keepalive)?;
        }
        if self.linger.is_some() {
            socket.set_linger(self.linger)?;
        }
        Ok(())
    }

    fn set_buffers(&self, socket: &SockRef<'_>) -> io::Result<()> {
        set_buffers(socket, self.receive_buffer_bytes, self.send_buffer_bytes)
    }
}

/// The options of UDP sockets.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the system"
)]
/// # Examples
///
/// ```
/// use std::net::Ipv4Addr;
/// use kokanee_net::UdpServer;
///
/// let server = UdpServer::builder().with_options(|options| {
///     options.multicast_interface = Some(Ipv4Addr::new(10, 0, 0, 7));
///     options.multicast_hops = Some(4);
/// });
/// ```
pub struct UdpOptions {
    /// Lets several sockets bind one address, as for multicast (`SO_REUSEADDR`). Default false.
    pub reuse_address: bool,
    /// Lets several sockets share one address; the system distributes the datagrams (`SO_REUSEPORT`). Default false.
    /// Unix only.
    pub reuse_port: bool,
    /// Size of the system's receive buffer in bytes. Default: the system's.
    pub receive_buffer_bytes: Option<usize>,
    /// Size of the system's send buffer in bytes. Default: the system's.
    pub send_buffer_bytes: Option<usize>,
    /// Allows sending to broadcast addresses. Default false.
    pub broadcast: bool,
    /// Makes a server on `[::]` receive IPv6 only (`IPV6_V6ONLY`). Default false: dual stack.
    pub only_v6: bool,
    /// The interface of IPv4 multicast, by its address. Default: the system's.
    pub multicast_interface: Option<Ipv4Addr>,
    /// How many hops a multicast datagram may take. Default: the system's, which is one, the local network.
    pub multicast_hops: Option<u32>,
}

impl UdpOptions {
    pub(crate) fn bind(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        set_reuse(&socket, self.reuse_address, self.reuse_port)?;
        if address.is_ipv6() {
            socket.set_only_v6(self.only_v6)?;
        }
        if self.broadcast {
            socket.set_broadcast(true)?;
        }
        set_buffers(&socket, self.receive_buffer_bytes, self.send_buffer_bytes)?;
        if address.is_ipv4() {
            if let Some(interface) = &self.multicast_interface {
                socket.set_multicast_if_v4(interface)?;
            }
            if let Some(hops) = self.multicast_hops {
                socket.set_multicast_ttl_v4(hops)?;
            }
        } else if let Some(hops) = self.multicast_hops {
            socket.set_multicast_hops_v6(hops)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    }
}

#[cfg_attr(
    not(unix),
    expect(unused_variables, reason = "Windows has no equivalent option")
)]
fn set_reuse(socket: &Socket, address: bool, port: bool) -> io::Result<()> {
    #[cfg(not(windows))]
    socket.set_reuse_address(address)?;
    #[cfg(unix)]
    socket.set_reuse_port(port)?;
    Ok(())
}

fn set_buffers(socket: &Socket, receive: Option<usize>, send: Option<usize>) -> io::Result<()> {
    if let Some(bytes) = receive {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = send {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(())
}
