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

/// One namespace of a connection to a server: the [`Socket`](crate::Socket) with functions that block. A cheap handle: when
/// the last one of a connection is dropped, the connection is closed in the background.
#[derive(Debug, Clone)]
pub struct Socket {
    socket: crate::Socket,
    handle: Handle,
}

impl Socket {
    pub(super) fn new(socket: crate::Socket, handle: Handle) -> Self {
        Self { socket, handle }
    }

    /// The same socket for async code.
    pub fn as_async(&self) -> &crate::Socket {
        &self.socket
    }

    /// The namespace's name, for instance `/`.
    pub fn namespace(&self) -> &str {
        self.socket.namespace()
    }

    /// The socket's id, which the server knows it by. `None` while it is not connected.
    pub fn id(&self) -> Option<String> {
        self.socket.id()
    }

    /// Whether the socket is connected: the namespace has accepted it.
    pub fn is_connected(&self) -> bool {
        self.socket.is_connected()
    }

    /// Whether the socket is connected, or will be.
    pub fn is_active(&self) -> bool {
        self.socket.is_active()
    }

    /// Whether the server has restored the socket's state with the last connection.
    pub fn is_recovered(&self) -> bool {
        self.socket.is_recovered()
    }

    /// The transport that carries the connection now.
    pub fn transport(&self) -> Option<Transport> {
        self.socket.transport()
    }

    /// Another namespace over the same connection. Connect it with [`connect`](Self::connect).
    #[must_use]
    pub fn of(&self, namespace: &str) -> Self {
        Self::new(self.socket.of(namespace), self.handle.clone())
    }

    // Connection.

    /// Connects, and returns when the namespace has accepted.
    ///
    /// # Errors
    /// Why it could not be connected.
    pub fn connect(&self) -> Result<(), ConnectFailure> {
        self.handle.block_on(self.socket.connect())
    }

    /// Waits until the socket is connected, for instance again after a loss.
    ///
    /// # Errors
    /// As [`Socket::connected`](crate::Socket::connected).
    pub fn connected(&self) -> Result<(), ConnectFailure> {
        self.handle.block_on(self.socket.connected())
    }

    /// Disconnects from the namespace; with the last namespace the connection is closed. Returns when that is on the wire:
    /// see [`Socket::disconnect`](crate::Socket::disconnect).
    ///
    /// # Errors
    /// [`DisconnectError`] if something has not left.
    pub fn disconnect(&self) -> Result<(), DisconnectError> {
        self.handle.block_on(self.socket.disconnect())
    }

    /// Cuts the transport, as if the network had failed: all namespaces are connected again.
    pub fn reconnect(&self) {
        self.socket.reconnect();
    }

    // Events out.

    /// Sends an event, as [`Socket::emit`](crate::Socket::emit).
    ///
    /// # Errors
    /// When the arguments cannot be encoded, the send buffer is full, or the client is closed.
    pub fn emit<T: Serialize>(&self, event: &str, args: T) -> Result<(), EmitError> {
        self.handle.block_on(self.socket.emit(event, args))
    }

    /// Sends an event with arguments as they were received.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_args(&self, event: &str, args: &Args) -> Result<(), EmitError> {
        self.handle.block_on(self.socket.emit_args(event, args))
    }

    /// Sends a typed event.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_typed<E: Event>(&self, event: &E) -> Result<(), EmitError> {
        self.handle.block_on(self.socket.emit_typed(event))
    }

    /// Sends an event that is dropped if it cannot leave at once.
    ///
    /// # Errors
    /// When the arguments cannot be encoded, or the client is closed.
    pub fn emit_volatile<T: Serialize>(&self, event: &str, args: T) -> Result<(), EmitError> {
        self.socket.emit_volatile(event, args)
    }

    /// Sends an event that asks for an answer: [`wait`](EmitWithAck::wait) for it, perhaps with a
    /// [`timeout`](EmitWithAck::timeout).
    pub fn emit_with_ack<T: DeserializeOwned>(
        &self,
        event: &str,
        args: impl Serialize,
    ) -> EmitWithAck<T> {
        self.with_ack(self.socket.emit_with_ack(event, args))
    }

    /// The same with arguments as they were received.
    pub fn emit_args_with_ack<T: DeserializeOwned>(
        &self,
        event: &str,
        args: &Args,
    ) -> EmitWithAck<T> {
        self.with_ack(self.socket.emit_args_with_ack(event, args))
    }

    /// Sends a typed event that asks for an answer.
    pub fn emit_typed_with_ack<E: Event>(&self, event: &E) -> EmitWithAck<E::Ack> {
        self.with_ack(self.socket.emit_typed_with_ack(event))
    }

    fn with_ack<T>(&self, emit: crate::EmitWithAck<T>) -> EmitWithAck<T> {
        EmitWithAck {
            emit,
            handle: self.handle.clone(),
        }
    }

    attach_methods!([&self] self -> &Self, Handler, Socket);

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

    /// The events that come from now on and those that [wait](crate::Socket#early-events). If their reader is behind, the client
    /// stops to read from the server.
    pub fn events(&self) -> Events {
        Events {
            events: self.socket.events(),
            handle: self.handle.clone(),
        }
    }

    /// How many events have come that nothing was attached for; see
    /// [`Socket::unhandled_events`](crate::Socket::unhandled_events).
    pub fn unhandled_events(&self) -> u64 {
        self.socket.unhandled_events()
    }
}

/// Handlers get their socket in this form.
impl<K: ClientKind> FromContext<K> for Socket {
    fn from_context(context: &Context<'_>) -> Result<Self, ExtractError> {
        let handle = Handle::try_current().map_err(ExtractError::other)?;
        Ok(Self::new(context.socket().clone(), handle))
    }
}

/// An event that asks for an answer; see [`Socket::emit_with_ack`].
#[derive(Debug)]
#[must_use = "nothing is sent until it is waited for"]
pub struct EmitWithAck<T> {
    emit: crate::EmitWithAck<T>,
    handle: Handle,
}

impl<T: DeserializeOwned + Send + 'static> EmitWithAck<T> {
    /// Sets how long to wait for the answer, the time included in which the socket is not connected.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.emit = self.emit.timeout(timeout);
        self
    }

    /// Sends the event and waits for the answer. Its first argument becomes `T`, or all of them if `T` is a tuple.
    ///
    /// # Errors
    /// [`AckError`].
    pub fn wait(self) -> Result<T, AckError> {
        let emit = self.emit;
        self.handle.block_on(async { emit.await })
    }

    /// Sends the event and waits for the raw arguments of the answer.
    ///
    /// # Errors
    /// [`AckError`], but never its `Decode` or `Remote`.
    pub fn args(self) -> Result<Args, AckError> {
        self.handle.block_on(self.emit.args())
    }
}

/// The events of a socket, from the moment on at which it was made, and those that have waited. It goes on over reconnections, and ends when the client
/// is closed.
#[derive(Debug)]
pub struct Events {
    events: crate::Events,
    handle: Handle,
}

impl Events {
    /// Waits for the next event, at most as long as `timeout`.
    ///
    /// # Errors
    /// [`ReceiveError`].
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
