//! The simple client, for scripts: the same client behind a few methods that wait, without handlers. Modelled after
//! python-socketio's `SimpleClient`.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use kokanee_engineio::Transport;
use kokanee_handler::{AckError, EmitError};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    client::{Client, ClientBuilder},
    engine::ConnectFailure,
    reason::DisconnectError,
    socket::Socket,
    stream::{Events, Received},
};

/// How long [`SimpleClient::call`] waits, unless the builder says otherwise.
const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A client that is asked for events instead of calling handlers.
///
/// ```no_run
/// use std::time::Duration;
/// use kokanee_client::SimpleClient;
///
/// # async fn f() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let mut client = SimpleClient::connect("http://localhost:5000").await?;
/// client.emit("my_message", "hello").await?;
/// let sum: i64 = client.call("sum", (20, 22)).await?;
/// let received = client.receive(Duration::from_secs(5)).await?;
/// println!("{}: {}", received.name(), received.data::<String>()?);
/// client.disconnect().await?;
/// # Ok(()) }
/// ```
///
/// While the client connects again after a loss, everything waits for that. When it will not connect again, because the
/// server has ended it or the client has given up, everything fails with `Disconnected`. Dropping the client closes the
/// connection, too.
#[derive(Debug)]
pub struct SimpleClient {
    socket: Socket,
    events: Events,
}

/// No event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// None came in time.
    #[error("no event within {after:?}")]
    Timeout {
        /// The time that was given.
        after: Duration,
    },
    /// The client is not connected, and will not be.
    #[error("socket has been disconnected")]
    Disconnected,
}

impl SimpleClient {
    /// Connects with default options, and returns when the namespace has accepted. The URL's path is the namespace.
    ///
    /// # Errors
    /// Why the connection could not be made, with a hint.
    pub async fn connect(url: &str) -> Result<Self, ConnectFailure> {
        Self::with(Client::builder(url)).await
    }

    /// Connects with the options of a [`Client::builder`].
    ///
    /// # Errors
    /// Why the connection could not be made, with a hint.
    pub async fn with(builder: ClientBuilder) -> Result<Self, ConnectFailure> {
        Self::connect_with(builder).await
    }

    pub(crate) async fn connect_with<M>(builder: ClientBuilder<M>) -> Result<Self, ConnectFailure> {
        let socket = builder.build_socket()?;
        // Before it is connected: the first event is not missed.
        let events = socket.events();
        socket.connect().await?;
        Ok(Self { socket, events })
    }

    /// The socket's id, which the server knows it by. `None` while it is not connected.
    pub fn id(&self) -> Option<String> {
        self.socket.id()
    }

    /// The transport that carries the connection now.
    pub fn transport(&self) -> Option<Transport> {
        self.socket.transport()
    }

    /// The socket, for everything else.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends an event, as [`Socket::emit`]. Waits until the client is connected. Cancel safe.
    ///
    /// # Errors
    /// When the arguments cannot be encoded, or the client will not be connected again.
    pub async fn emit(&self, event: &str, args: impl Serialize) -> Result<(), EmitError> {
        self.connected().await?;
        self.socket.emit(event, args).await
    }

    /// Sends an event and waits for the server's answer, as [`Socket::emit_with_ack`]: for as long as
    /// [`ack_timeout`](ClientBuilder::ack_timeout), or 60 s. Waits until the client is connected first. The event is sent
    /// once: if the connection breaks before the answer, that is the error.
    ///
    /// # Errors
    /// [`AckError`].
    pub async fn call<T>(&self, event: &str, args: impl Serialize) -> Result<T, AckError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.connected().await?;
        let timeout = self.socket.options().ack_timeout;
        self.socket
            .emit_with_ack(event, args)
            .timeout(timeout.unwrap_or(DEFAULT_CALL_TIMEOUT))
            .await
    }

    /// Waits for the next event, at most as long as `timeout`; [`Duration::MAX`] is for ever. Events that came since the
    /// last call are returned first, also when the connection has ended meanwhile. If too many wait, the client stops to
    /// read from the server. Cancel safe.
    ///
    /// An event that the server wants to have acknowledged is answered with [`Received::ack`].
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub async fn receive(&mut self, timeout: Duration) -> Result<Received, ReceiveError> {
        let next = std::future::poll_fn(|cx| self.poll_receive(cx));
        let received = tokio::time::timeout(timeout, next).await;
        received.unwrap_or(Err(ReceiveError::Timeout { after: timeout }))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, ReceiveError>> {
        match Pin::new(&mut self.events).poll_next(cx) {
            Poll::Ready(Some(received)) => Poll::Ready(Ok(received)),
            // Looked at after the waker was left, so the end is not missed.
            Poll::Pending if self.socket.is_active() => Poll::Pending,
            Poll::Pending | Poll::Ready(None) => Poll::Ready(Err(ReceiveError::Disconnected)),
        }
    }

    /// Disconnects. Returns when that is on the wire, what was sent before included: see [`Socket::disconnect`].
    ///
    /// # Errors
    /// [`DisconnectError`] if something has not left.
    pub async fn disconnect(self) -> Result<(), DisconnectError> {
        self.socket.disconnect().await
    }

    async fn connected(&self) -> Result<(), EmitError> {
        let connected = self.socket.connected().await;
        connected.map_err(|_| EmitError::Disconnected)
    }
}
