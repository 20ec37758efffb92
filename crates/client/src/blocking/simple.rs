//! The simple client for programs that are not async.

use std::time::Duration;

use kokanee_engineio::Transport;
use kokanee_handler::{AckError, EmitError};
use serde::{Serialize, de::DeserializeOwned};
use tokio::runtime::Handle;

use super::{Client, background};
use crate::{
    client::ClientBuilder, engine::ConnectFailure, reason::DisconnectError, simple::ReceiveError,
    stream::Received,
};

/// Pulls events one at a time instead of calling handlers: the [`SimpleClient`](crate::SimpleClient) with blocking functions.
///
/// # Examples
///
/// ```
#[doc = include_str!("../doctest/blocking_server.md")]
/// use std::time::Duration;
/// use kokanee_client::blocking::SimpleClient;
///
/// let mut client = SimpleClient::connect(&url)?;
/// let received = client.receive(Duration::from_secs(5))?;
/// assert_eq!(received.name(), "welcome");
/// let sum: i64 = client.call("sum", (20, 22))?;
/// assert_eq!(sum, 42);
/// client.disconnect()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct SimpleClient {
    client: crate::SimpleClient,
    handle: &'static Handle,
}

impl SimpleClient {
    /// Connects with default options, and waits until the namespace has accepted. The path of the URL is the namespace.
    ///
    /// # Errors
    /// [`ConnectFailure`] with a hint if the connection could not be made.
    pub fn connect(url: &str) -> Result<Self, ConnectFailure> {
        Self::with(Client::builder(url))
    }

    /// Connects with the options of a [`Client::builder`], of the blocking or of the async client.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("../doctest/blocking_server.md")]
    /// use kokanee_client::blocking::{Client, SimpleClient};
    ///
    /// let builder = Client::builder(&url).auth(serde_json::json!({ "token": "secret" }));
    /// let client = SimpleClient::with(builder)?;
    /// assert!(client.id().is_some());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ConnectFailure`] with a hint if the connection could not be made.
    pub fn with<M>(builder: ClientBuilder<M>) -> Result<Self, ConnectFailure> {
        let handle = background()?;
        let client = handle.block_on(crate::SimpleClient::connect_with(builder))?;
        Ok(Self { client, handle })
    }

    /// Returns the socket's id, by which the server knows it, or `None` while it is not connected.
    pub fn id(&self) -> Option<String> {
        self.client.id()
    }

    /// Returns the transport that carries the connection now, or `None` while there is no connection.
    pub fn transport(&self) -> Option<Transport> {
        self.client.transport()
    }

    /// Sends an event. Waits first until the client is connected.
    ///
    /// # Errors
    /// [`EmitError`] if the arguments cannot be encoded, or the client will not reconnect.
    pub fn emit(&self, event: &str, args: impl Serialize) -> Result<(), EmitError> {
        self.handle.block_on(self.client.emit(event, args))
    }

    /// Sends an event and returns the server's acknowledgement. Waits first until the client is connected, then for
    /// [`ack_timeout`](ClientBuilder::ack_timeout), or 60 s.
    ///
    /// # Errors
    /// [`AckError`] if no answer came or it does not fit `T`.
    pub fn call<T>(&self, event: &str, args: impl Serialize) -> Result<T, AckError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.handle.block_on(self.client.call(event, args))
    }

    /// Waits for the next event, for at most `timeout`; [`Duration::MAX`] means forever.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("../doctest/blocking_server.md")]
    /// use std::time::Duration;
    /// use kokanee_client::{ReceiveError, blocking::SimpleClient};
    ///
    /// let mut client = SimpleClient::connect(&url)?;
    /// loop {
    ///     match client.receive(Duration::from_millis(10)) {
    ///         Ok(received) => println!("{}", received.name()),
    ///         Err(ReceiveError::Timeout { .. }) => break, // Nothing new: do something else, then call it again.
    ///         Err(ReceiveError::Disconnected) => panic!("the server is gone"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ReceiveError`] if no event arrived in time, or the client is not connected and will not reconnect.
    pub fn receive(&mut self, timeout: Duration) -> Result<Received, ReceiveError> {
        self.handle.block_on(self.client.receive(timeout))
    }

    /// Disconnects, and waits until everything that was sent before has left: see
    /// [`Socket::disconnect`](crate::Socket::disconnect).
    ///
    /// # Errors
    /// [`DisconnectError`] if something could not be sent.
    pub fn disconnect(self) -> Result<(), DisconnectError> {
        self.handle.block_on(self.client.disconnect())
    }
}
