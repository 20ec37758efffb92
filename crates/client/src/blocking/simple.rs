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

/// A client that is asked for events instead of calling handlers: the [`SimpleClient`](crate::SimpleClient) with functions
/// that block.
///
/// ```no_run
/// use std::time::Duration;
/// use kokanee_client::blocking::SimpleClient;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let mut client = SimpleClient::connect("http://localhost:5000")?;
/// let sum: i64 = client.call("sum", (20, 22))?;
/// let received = client.receive(Duration::from_secs(5))?;
/// client.disconnect()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct SimpleClient {
    client: crate::SimpleClient,
    handle: &'static Handle,
}

impl SimpleClient {
    /// Connects with default options, and returns when the namespace has accepted. The URL's path is the namespace.
    ///
    /// # Errors
    /// Why the connection could not be made, with a hint.
    pub fn connect(url: &str) -> Result<Self, ConnectFailure> {
        Self::with(Client::builder(url))
    }

    /// Connects with the options of a [`Client::builder`], of either kind.
    ///
    /// # Errors
    /// Why the connection could not be made, with a hint.
    pub fn with<M>(builder: ClientBuilder<M>) -> Result<Self, ConnectFailure> {
        let handle = background()?;
        let client = handle.block_on(crate::SimpleClient::connect_with(builder))?;
        Ok(Self { client, handle })
    }

    /// The socket's id, which the server knows it by. `None` while it is not connected.
    pub fn id(&self) -> Option<String> {
        self.client.id()
    }

    /// The transport that carries the connection now.
    pub fn transport(&self) -> Option<Transport> {
        self.client.transport()
    }

    /// Sends an event. Waits until the client is connected.
    ///
    /// # Errors
    /// When the arguments cannot be encoded, or the client will not be connected again.
    pub fn emit(&self, event: &str, args: impl Serialize) -> Result<(), EmitError> {
        self.handle.block_on(self.client.emit(event, args))
    }

    /// Sends an event and waits for the server's answer, for as long as
    /// [`ack_timeout`](ClientBuilder::ack_timeout), or 60 s.
    ///
    /// # Errors
    /// [`AckError`].
    pub fn call<T>(&self, event: &str, args: impl Serialize) -> Result<T, AckError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.handle.block_on(self.client.call(event, args))
    }

    /// Waits for the next event, at most as long as `timeout`; [`Duration::MAX`] is for ever.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub fn receive(&mut self, timeout: Duration) -> Result<Received, ReceiveError> {
        self.handle.block_on(self.client.receive(timeout))
    }

    /// Disconnects. Returns when that is on the wire, what was sent before included: see
    /// [`Socket::disconnect`](crate::Socket::disconnect).
    ///
    /// # Errors
    /// [`DisconnectError`] if something has not left.
    pub fn disconnect(self) -> Result<(), DisconnectError> {
        self.handle.block_on(self.client.disconnect())
    }
}
