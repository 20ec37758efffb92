//! A socket whose functions block.

use std::{sync::Arc, time::Duration};

use kokanee_engineio::Transport;
use kokanee_handler::{
    AckError, EmitError, Event, EventError, ExtractError, FromContext, Needs, TypedArgs,
};
use kokanee_socketio::{Args, RawEvent};
use serde::{Serialize, de::DeserializeOwned};
use tokio::runtime::Handle;

use super::Handler;
use crate::{
    attach::attach_methods,
    engine::ConnectFailure,
    extract::{ClientKind, Context, OnAttempt, OnConnect, OnConnectError, OnDisconnect, OnEvent},
    handlers::{ErrorHandler, Handlers, check_event},
    reason::DisconnectError,
    simple::ReceiveError,
    stream::Received,
};

/// Represents one namespace of a connection to a server: the [`Socket`](crate::Socket) with blocking functions. A cheap handle.
///
/// When the last handle of a connection is dropped, the connection is closed in the background.
///
/// # Examples
///
/// ```
#[doc = include_str!("../doctest/blocking_server.md")]
/// use kokanee_client::{Data, blocking::{Client, Socket}};
///
/// let socket = Client::connect(&url)?;
/// // Handlers run on other threads, and may block.
/// socket.on("job", |socket: Socket, Data(seconds): Data<u64>| {
///     std::thread::sleep(std::time::Duration::from_secs(seconds));
///     socket.emit("done", ())
/// });
/// let sum: i64 = socket.emit_with_ack("sum", (20, 22)).wait()?;
/// assert_eq!(sum, 42);
/// socket.disconnect()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Socket {
    socket: crate::Socket,
    handle: Handle,
}

impl Socket {
    pub(super) fn new(socket: crate::Socket, handle: Handle) -> Self {
        Self { socket, handle }
    }

    /// Returns the same socket for async code.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kokanee_client::blocking::Socket;
    /// # fn example(socket: &Socket, runtime: &tokio::runtime::Runtime) {
    /// let socket = socket.as_async().clone();
    /// runtime.spawn(async move { socket.emit("hello", ()).await });
    /// # }
    /// ```
    pub fn as_async(&self) -> &crate::Socket {
        &self.socket
    }

    /// Returns the name of the namespace, for instance `/`.
    pub fn namespace(&self) -> &str {
        self.socket.namespace()
    }

    /// Returns the socket's id, by which the server knows it, or `None` while it is not connected.
    pub fn id(&self) -> Option<String> {
        self.socket.id()
    }

    /// Returns whether the socket is connected: the namespace has accepted it.
    pub fn is_connected(&self) -> bool {
        self.socket.is_connected()
    }

    /// Returns whether the socket is connected or tries to be.
    pub fn is_active(&self) -> bool {
        self.socket.is_active()
    }

    /// Returns whether the server has restored the socket's state at the last connection and has sent the events that were
    /// missed.
    pub fn is_recovered(&self) -> bool {
        self.socket.is_recovered()
    }

    /// Returns whether the server keeps the socket's state while the connection is lost, and so appends one more argument to events.
    pub fn is_recoverable(&self) -> bool {
        self.socket.is_recoverable()
    }

    /// Returns the transport that carries the connection now, or `None` while there is no connection.
    pub fn transport(&self) -> Option<Transport> {
        self.socket.transport()
    }

    /// Returns the socket of another namespace over the same connection. It is not connected yet: call
    /// [`connect`](Self::connect).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("../doctest/blocking_server.md")]
    /// # use kokanee_client::blocking::Client;
    /// let socket = Client::connect(&url)?;
    /// let admin = socket.of("/admin");
    /// admin.connect()?;
    /// let users: u32 = admin.emit_with_ack("users", ()).wait()?;
    /// assert_eq!(users, 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn of(&self, namespace: &str) -> Self {
        Self::new(self.socket.of(namespace), self.handle.clone())
    }

    // Connection.

    /// Connects, and waits until the namespace has accepted.
    ///
    /// # Errors
    /// [`ConnectFailure`] with a hint if the connection could not be made.
    pub fn connect(&self) -> Result<(), ConnectFailure> {
        self.handle.block_on(self.socket.connect())
    }

    /// Waits until the socket is connected, for instance again after a loss. Unlike [`connect`](Self::connect) it starts
    /// nothing.
    ///
    /// # Errors
    /// As [`Socket::connected`](crate::Socket::connected).
    pub fn connected(&self) -> Result<(), ConnectFailure> {
        self.handle.block_on(self.socket.connected())
    }

    /// Disconnects from the namespace, and waits until everything that was sent before has left: see
    /// [`Socket::disconnect`](crate::Socket::disconnect). With the last namespace the connection is closed.
    ///
    /// # Errors
    /// [`DisconnectError`] if something could not be sent.
    pub fn disconnect(&self) -> Result<(), DisconnectError> {
        self.handle.block_on(self.socket.disconnect())
    }

    /// Cuts the transport, as if the network had failed, so that all namespaces reconnect.
    pub fn reconnect(&self) {
        self.socket.reconnect();
    }

    // Events out.

    /// Sends an event, as [`Socket::emit`](crate::Socket::emit) does. Waits while more than half of the send buffer is in use.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("../doctest/blocking_server.md")]
    /// # use kokanee_client::blocking::Client;
    /// let socket = Client::connect(&url)?;
    /// socket.emit("message", "hello")?;
    /// socket.emit("move", (3, 4))?; // Two arguments.
    /// socket.disconnect()?; // Everything has left when this returns.
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`EmitError`] if the arguments cannot be encoded, the send buffer is full, or the client is closed.
    pub fn emit<T: Serialize>(&self, event: &str, args: T) -> Result<(), EmitError> {
        self.handle.block_on(self.socket.emit(event, args))
    }

    /// Sends an event with arguments in the form in which they were received, without decoding them.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_args(&self, event: &str, args: &Args) -> Result<(), EmitError> {
        self.handle.block_on(self.socket.emit_args(event, args))
    }

    /// Sends a typed event, whose type has the name and the arguments.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_typed<E: Event>(&self, event: &E) -> Result<(), EmitError> {
        self.handle.block_on(self.socket.emit_typed(event))
    }

    /// Sends an event that is dropped if it cannot be sent at once. It never waits.
    ///
    /// # Errors
    /// [`EmitError`] if the arguments cannot be encoded, or the client is closed.
    pub fn emit_volatile<T: Serialize>(&self, event: &str, args: T) -> Result<(), EmitError> {
        self.socket.emit_volatile(event, args)
    }

    /// Prepares an event that asks for an acknowledgement: [`wait`](EmitWithAck::wait) sends it and waits for the answer,
    /// perhaps with a [`timeout`](EmitWithAck::timeout).
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("../doctest/blocking_server.md")]
    /// use std::time::Duration;
    /// use kokanee_client::{AckError, blocking::Client};
    ///
    /// let socket = Client::connect(&url)?;
    /// match socket.emit_with_ack::<i64>("sum", (20, 22)).timeout(Duration::from_secs(1)).wait() {
    ///     Ok(sum) => assert_eq!(sum, 42),
    ///     Err(AckError::Timeout) => eprintln!("no answer"),
    ///     Err(error) => eprintln!("{error}"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn emit_with_ack<T: DeserializeOwned>(
        &self,
        event: &str,
        args: impl Serialize,
    ) -> EmitWithAck<T> {
        self.with_ack(self.socket.emit_with_ack(event, args))
    }

    /// Prepares an event with arguments in the form in which they were received that asks for an acknowledgement.
    pub fn emit_args_with_ack<T: DeserializeOwned>(
        &self,
        event: &str,
        args: &Args,
    ) -> EmitWithAck<T> {
        self.with_ack(self.socket.emit_args_with_ack(event, args))
    }

    /// Prepares a typed event that asks for an acknowledgement.
    pub fn emit_typed_with_ack<E: Event>(&self, event: &E) -> EmitWithAck<E::Ack> {
        self.with_ack(self.socket.emit_typed_with_ack(event))
    }

    fn with_ack<T>(&self, emit: crate::EmitWithAck<T>) -> EmitWithAck<T> {
        EmitWithAck {
            emit,
            handle: self.handle.clone(),
        }
    }

    attach_methods!([&self] self -> &Self, Handler, Socket; "", "kokanee_client::blocking::Socket");

    pub(super) fn error_handler(
        handler: impl Fn(&Self, &EventError) + Send + Sync + 'static,
    ) -> ErrorHandler {
        Arc::new(move |socket, error| {
            // Handlers run on the background runtime, and are called there.
            if let Ok(handle) = Handle::try_current() {
                handler(&Self::new(socket.clone(), handle), error);
            }
        })
    }

    fn detach(&self, event: &str) -> &Self {
        self.socket.detach(event);
        self
    }

    #[track_caller]
    fn attach<R>(&self, needs: &Needs, change: impl FnOnce(&mut Handlers) -> R) -> &Self {
        self.socket.attach(needs, change);
        self
    }

    /// Returns an iterator over the events that arrive from now on, and those that [wait](crate::Socket#early-events).
    ///
    /// If its reader is slow, the client stops reading from the server when 256 events or 8 MiB wait.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("../doctest/blocking_server.md")]
    /// # use kokanee_client::blocking::Client;
    /// let socket = Client::builder(&url).build()?;
    /// let events = socket.events();
    /// socket.connect()?;
    /// for event in events {
    ///     println!("{}", event.name());
    ///     break; // Only for this example.
    /// }
    /// # Ok(()) }
    /// ```
    pub fn events(&self) -> Events {
        Events {
            events: self.socket.events(),
            handle: self.handle.clone(),
        }
    }

    /// Returns the number of events that arrived and that nothing was attached for; see
    /// [`Socket::unhandled_events`](crate::Socket::unhandled_events).
    pub fn unhandled_events(&self) -> u64 {
        self.socket.unhandled_events()
    }
}

/// Gives handlers their socket in its blocking form.
impl<K: ClientKind> FromContext<K> for Socket {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        let handle = Handle::try_current().map_err(ExtractError::other)?;
        Ok(Self::new(context.socket().clone(), handle))
    }
}

/// Holds an event that asks for an acknowledgement, until it is sent; see [`Socket::emit_with_ack`].
#[derive(Debug)]
#[must_use = "nothing is sent until it is waited for"]
pub struct EmitWithAck<T> {
    emit: crate::EmitWithAck<T>,
    handle: Handle,
}

impl<T: DeserializeOwned + Send + 'static> EmitWithAck<T> {
    /// Sets how long to wait for the answer, including the time in which the socket is not connected.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.emit = self.emit.timeout(timeout);
        self
    }

    /// Sends the event and waits for the answer. Its first argument becomes `T`, or all of them if `T` is a tuple.
    ///
    /// # Errors
    /// [`AckError`] if no answer came or it does not fit `T`.
    pub fn wait(self) -> Result<T, AckError> {
        let emit = self.emit;
        self.handle.block_on(async { emit.await })
    }

    /// Sends the event and returns the arguments of the answer without decoding them.
    ///
    /// # Errors
    /// [`AckError`], except `Decode` and `Remote`.
    pub fn args(self) -> Result<Args, AckError> {
        self.handle.block_on(self.emit.args())
    }
}

/// Iterates over the events of a socket, those that [waited](crate::Socket#early-events) first. Each step blocks until the next
/// event.
///
/// The iterator continues over reconnections, and ends when the client is closed.
#[derive(Debug)]
pub struct Events {
    events: crate::Events,
    handle: Handle,
}

impl Events {
    /// Waits for the next event, for at most `timeout`.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("../doctest/blocking_server.md")]
    /// use std::time::Duration;
    /// # use kokanee_client::blocking::Client;
    ///
    /// let socket = Client::builder(&url).build()?;
    /// let mut events = socket.events();
    /// socket.connect()?;
    /// let event = events.next_timeout(Duration::from_secs(5))?;
    /// assert_eq!((event.name(), event.data::<String>()?.as_str()), ("welcome", "hello"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ReceiveError`] if no event arrived in time, or the client was closed.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Received, ReceiveError> {
        let next = self.events.next();
        let next = self
            .handle
            .block_on(async { tokio::time::timeout(timeout, next).await });
        match next {
            Ok(received) => received.ok_or(ReceiveError::Disconnected),
            Err(_) => Err(ReceiveError::Timeout { after: timeout }),
        }
    }
}

impl Iterator for Events {
    type Item = Received;

    fn next(&mut self) -> Option<Received> {
        self.handle.block_on(self.events.next())
    }
}
