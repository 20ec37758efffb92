//! The blocking client, for programs that are not async: the same client on a background runtime.
//!
//! ```
#![doc = include_str!("../doctest/blocking_server.md")]
//! use std::time::Duration;
//! use kokanee_client::{Data, blocking::Client};
//!
//! let socket = Client::builder(&url)
//!     .on("my_message", |Data(text): Data<String>| println!("{text}"))
//!     .connect()?;
//! let sum: i64 = socket.emit_with_ack("sum", (20, 22)).timeout(Duration::from_secs(1)).wait()?;
//! # Ok(()) }
//! ```
//!
//! * Names and options are those of the async client. One background thread serves all blocking clients of the process.
//! * Handlers are plain functions with the same parameters. They run on threads of their own and may block: heartbeats
//!   continue. Events of one socket are handled one after the other.
//! * Like all blocking functions, these must not be called inside async code: tokio panics there.

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

/// Connects to Socket.IO servers: the entry point of the blocking client.
#[derive(Debug)]
pub struct Client;

impl Client {
    /// Connects with default options, and waits until the namespace has accepted. The path of the URL is the namespace.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("../doctest/blocking_server.md")]
    /// use kokanee_client::{Data, blocking::Client};
    ///
    /// let socket = Client::connect(&url)?;
    /// socket.on("welcome", |Data(text): Data<String>| println!("{text}"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ConnectFailure`] with a hint if the connection could not be made.
    pub fn connect(url: &str) -> Result<Socket, ConnectFailure> {
        Self::builder(url).connect()
    }

    /// Returns a builder for a connection to this URL. It has all options of the async client; its handlers are plain
    /// functions.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("../doctest/blocking_server.md")]
    /// use kokanee_client::{Transport, blocking::{Client, Socket}};
    ///
    /// let socket = Client::builder(&url)
    ///     .transports([Transport::WebSocket])
    ///     .on("question", |socket: Socket| socket.emit("answer", 42))
    ///     .connect()?;
    /// assert!(socket.is_connected());
    /// # Ok(()) }
    /// ```
    pub fn builder(url: &str) -> ClientBuilder {
        crate::ClientBuilder::new(url)
    }
}

/// Marks the builder of the blocking client, [`Client::builder`].
#[derive(Debug, Clone, Copy)]
pub enum Blocking {}

/// Configures a blocking client, and the handlers of its first socket.
pub type ClientBuilder = crate::ClientBuilder<Blocking>;

impl ClientBuilder {
    attach_methods!([self] self -> Self, Handler, Socket; "", "kokanee_client::blocking::ClientBuilder");

    /// Builds a socket that is not connected yet.
    ///
    /// # Examples
    ///
    /// ```
    #[doc = include_str!("../doctest/blocking_server.md")]
    /// use kokanee_client::{Data, blocking::Client};
    ///
    /// let socket = Client::builder(&url).build()?;
    /// let admin = socket.of("/admin");
    /// admin.on("alarm", |Data(text): Data<String>| eprintln!("{text}"));
    /// admin.connect()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ConnectFailure::Url`] or [`ConnectFailure::Option`] if the URL or an option cannot be used,
    /// [`ConnectFailure::Background`] if the system gives no thread for the background.
    ///
    /// # Panics
    /// If a handler has a parameter [`State<T>`](crate::State) for which [`state`](Self::state) was not called.
    #[track_caller]
    pub fn build(self) -> Result<Socket, ConnectFailure> {
        let handle = background()?;
        let _entered = handle.enter();
        Ok(Socket::new(self.build_socket()?, handle.clone()))
    }

    /// Connects, and waits until the namespace has accepted.
    ///
    /// # Errors
    /// [`ConnectFailure`] with a hint if the connection could not be made.
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

/// The runtime of all blocking clients. It starts with the first client, and runs until the process ends.
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
    // If another thread was faster, its runtime is used and this one ends.
    Ok(BACKGROUND.get_or_init(|| runtime).handle())
}
