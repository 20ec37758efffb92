//! The blocking client: the same client on a background runtime, for programs that are not async.
//!
//! ```no_run
//! use std::time::Duration;
//! use kokanee_client::{Data, blocking::Client};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let socket = Client::builder("http://localhost:5000")
//!     .on("my_message", |Data(text): Data<String>| println!("{text}"))
//!     .connect()?;
//! let sum: i64 = socket.emit_with_ack("sum", (20, 22)).timeout(Duration::from_secs(1)).wait()?;
//! # Ok(()) }
//! ```
//!
//! * Names and options are those of the async client. There is one background thread for all blocking clients of the process.
//! * Handlers are plain functions with the same parameters. They run on threads of their own and may block: heartbeats go on.
//!   Events of one socket are handled one after the other.
//! * As with every blocking function, these must not be called inside async code: tokio panics there.

mod handler;
mod simple;
mod socket;

use std::{
    io,
    sync::{Arc, OnceLock},
};

use kokanee_handler::{Event, EventError, Needs, TypedArgs};
use kokanee_socketio::RawEvent;
use tokio::runtime::{Builder, Handle, Runtime};

pub use self::{
    handler::Handler,
    simple::SimpleClient,
    socket::{EmitWithAck, Events, Socket},
};
use crate::{
    attach::attach_methods,
    engine::ConnectFailure,
    extract::{OnAttempt, OnConnect, OnConnectError, OnDisconnect, OnEvent},
    handlers::check_event,
};

/// The entry: makes connections to Socket.IO servers.
#[derive(Debug)]
pub struct Client;

impl Client {
    /// Connects with default options, and returns when the namespace has accepted. The URL's path is the namespace.
    ///
    /// # Errors
    /// Why the connection could not be made, with a hint.
    pub fn connect(url: &str) -> Result<Socket, ConnectFailure> {
        Self::builder(url).connect()
    }

    /// Begins with a URL. Its handlers are plain functions.
    pub fn builder(url: &str) -> ClientBuilder {
        crate::ClientBuilder::new(url)
    }
}

/// Marks the builder of the blocking client, [`Client::builder`].
#[derive(Debug, Clone, Copy)]
pub enum Blocking {}

/// The options of a blocking client, and the handlers of its first socket.
pub type ClientBuilder = crate::ClientBuilder<Blocking>;

impl ClientBuilder {
    attach_methods!([self] self -> Self, Handler, Socket);

    /// Makes a socket that is not connected yet.
    ///
    /// # Errors
    /// An option that cannot be used, or no thread for the background.
    ///
    /// # Panics
    /// If a handler has a parameter [`State<T>`](crate::State) that was not given with [`state`](Self::state).
    #[track_caller]
    pub fn build(self) -> Result<Socket, ConnectFailure> {
        let handle = background()?;
        let _entered = handle.enter();
        Ok(Socket::new(self.build_socket()?, handle.clone()))
    }

    /// Connects, and returns when the namespace has accepted.
    ///
    /// # Errors
    /// Why the connection could not be made, with a hint.
    ///
    /// # Panics
    /// As [`build`](Self::build).
    #[track_caller]
    pub fn connect(self) -> Result<Socket, ConnectFailure> {
        let socket = self.build()?;
        socket.connect()?;
        Ok(socket)
    }
}

/// The runtime of all blocking clients. It starts with the first, and lives as long as the process.
fn background() -> Result<&'static Handle, ConnectFailure> {
    static BACKGROUND: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = BACKGROUND.get() {
        return Ok(runtime.handle());
    }
    let runtime: io::Result<Runtime> = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("kokanee-client")
        .enable_all()
        .build();
    let runtime = runtime.map_err(|source| ConnectFailure::Background { source })?;
    // If another thread was quicker, its runtime is used and this one ends.
    Ok(BACKGROUND.get_or_init(|| runtime).handle())
}
