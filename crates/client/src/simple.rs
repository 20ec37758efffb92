//! The simple client, for scripts that pull events one at a time: a few methods that wait, without handlers. Modelled after
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

/// How long [`SimpleClient::call`] waits if the builder sets no `ack_timeout`.
const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Pulls events one at a time instead of calling handlers: a client for scripts.
///
/// # Examples
///
/// ```
#[doc = include_str!("doctest/server.md")]
/// use std::time::Duration;
/// use kokanee_client::SimpleClient;
///
/// let mut client = SimpleClient::connect(&url).await?;
/// let received = client.receive(Duration::from_secs(5)).await?;
/// assert_eq!((received.name(), received.data::<String>()?.as_str()), ("welcome", "hello"));
///
/// client.emit("message", "thank you").await?;
/// let sum: i64 = client.call("sum", (20, 22)).await?;
/// assert_eq!(sum, 42);
/// client.disconnect().await?;
/// # Ok(()) }
/// ```
///
/// While the client reconnects after a loss, all methods wait for that. When it will not reconnect, because the server has
/// disconnected it or the client has given up, all of them fail with `Disconnected`. Dropping the client closes the connection,
/// too.
#[derive(Debug)]
pub struct SimpleClient {
    socket: Socket,
    events: Events,
}

/// Says why no event was received.
///
/// # Examples
///
/// ```
#[doc = include_str!("doctest/server.md")]
/// use std::time::Duration;
/// use kokanee_client::{ReceiveError, SimpleClient};
///
/// let mut client = SimpleClient::connect(&url).await?;
/// loop {
///     match client.receive(Duration::from_millis(10)).await {
///         Ok(received) => println!("{}", received.name()),
///         Err(ReceiveError::Timeout { .. }) => break, // Nothing new: do something else, then call it again.
///         Err(ReceiveError::Disconnected) => panic!("the server is gone"),
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// No event arrived in time.
    #[error("no event within {after:?}")]
    Timeout {
        /// The timeout of the call.
        after: Duration,
    },
    /// The client is not connected and will not reconnect.
    #[error("socket has been disconnected")]
    Disconnected,
}

impl SimpleClient {
    /// Connects with default options, and waits until the namespace has accepted. The path of the URL is the namespace.
    ///
    /// # Errors
    /// [`ConnectFailure`] with a hint if the connection could not be made.
    pub async fn connect(url: &str) -> Result<Self, ConnectFailure> {
        Self::with(Client::builder(url)).await
    }

    /// Connects with the options of a [`Client::builder`].
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_client::{Client, SimpleClient, Transport};
    ///
    /// let builder = Client::builder(&url)
    ///     .auth(serde_json::json!({ "token": "secret" }))
    ///     .transports([Transport::WebSocket]);
    /// let client = SimpleClient::with(builder).await?;
    /// assert_eq!(client.transport(), Some(Transport::WebSocket));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ConnectFailure`] with a hint if the connection could not be made.
    pub async fn with(builder: ClientBuilder) -> Result<Self, ConnectFailure> {
        Self::connect_with(builder).await
    }

    pub(crate) async fn connect_with<M>(builder: ClientBuilder<M>) -> Result<Self, ConnectFailure> {
        let socket = builder.build_socket()?;
        // Subscribed before it connects, so that the first event is not missed.
        let events = socket.events();
        socket.connect().await?;
        Ok(Self { socket, events })
    }

    /// Returns the socket's id, by which the server knows it, or `None` while it is not connected.
    pub fn id(&self) -> Option<String> {
        self.socket.id()
    }

    /// Returns the transport that carries the connection now, or `None` while there is no connection.
    pub fn transport(&self) -> Option<Transport> {
        self.socket.transport()
    }

    /// Returns the socket, for everything that this client has no method for.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_client::{Attempt, SimpleClient};
    ///
    /// let client = SimpleClient::connect(&url).await?;
    /// client.socket().on_reconnect(async |Attempt(number): Attempt| println!("back after {number} attempts"));
    /// # Ok(()) }
    /// ```
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends an event, as [`Socket::emit`] does. Waits first until the client is connected. Cancel safe.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// # use kokanee_client::SimpleClient;
    /// let client = SimpleClient::connect(&url).await?;
    /// client.emit("move", (3, 4)).await?; // Two arguments.
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EmitError`] if the arguments cannot be encoded, or the client will not reconnect.
    pub async fn emit(&self, event: &str, args: impl Serialize) -> Result<(), EmitError> {
        self.connected().await?;
        self.socket.emit(event, args).await
    }

    /// Sends an event and returns the server's acknowledgement, as [`Socket::emit_with_ack`] does. Waits first until the client
    /// is connected, then for [`ack_timeout`](ClientBuilder::ack_timeout), or 60 s.
    ///
    /// The event is sent once: if the connection is lost before the answer, the call fails.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use kokanee_client::{AckError, SimpleClient};
    ///
    /// let client = SimpleClient::connect(&url).await?;
    /// match client.call::<i64>("sum", (20, 22)).await {
    ///     Ok(sum) => assert_eq!(sum, 42),
    ///     Err(AckError::Remote(error)) => eprintln!("refused: {} ({})", error.message, error.code),
    ///     Err(error) => eprintln!("no answer: {error}"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`AckError`] if no answer came or it does not fit `T`.
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

    /// Waits for the next event, for at most `timeout`; [`Duration::MAX`] means forever. Cancel safe.
    ///
    /// Events that have arrived since the last call are returned first, even if the connection has ended meanwhile. If more
    /// than 256 events or 8 MiB wait, the client stops reading from the server. [`Received::ack`] answers an event for which
    /// the server wants an acknowledgement.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("doctest/server.md")]
    /// use std::time::Duration;
    /// # use kokanee_client::SimpleClient;
    ///
    /// let mut client = SimpleClient::connect(&url).await?;
    /// let received = client.receive(Duration::from_secs(5)).await?;
    /// match received.name() {
    ///     "welcome" => println!("{}", received.data::<String>()?),
    ///     name => eprintln!("unknown event {name}"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ReceiveError`] if no event arrived in time, or the client is not connected and will not reconnect.
    pub async fn receive(&mut self, timeout: Duration) -> Result<Received, ReceiveError> {
        let next = std::future::poll_fn(|cx| self.poll_receive(cx));
        let received = tokio::time::timeout(timeout, next).await;
        received.unwrap_or(Err(ReceiveError::Timeout { after: timeout }))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, ReceiveError>> {
        match Pin::new(&mut self.events).poll_next(cx) {
            Poll::Ready(Some(received)) => Poll::Ready(Ok(received)),
            // Checked after the waker was registered, so that the end is not missed.
            Poll::Pending if self.socket.is_active() => Poll::Pending,
            Poll::Pending | Poll::Ready(None) => Poll::Ready(Err(ReceiveError::Disconnected)),
        }
    }

    /// Disconnects, and waits until everything that was sent before has left: see [`Socket::disconnect`].
    ///
    /// # Errors
    /// [`DisconnectError`] if something could not be sent.
    pub async fn disconnect(self) -> Result<(), DisconnectError> {
        self.socket.disconnect().await
    }

    async fn connected(&self) -> Result<(), EmitError> {
        let connected = self.socket.connected().await;
        connected.map_err(|_| EmitError::Disconnected)
    }
}
