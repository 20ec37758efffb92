//! The blocking client: the same client on a background runtime, for programs that are not async.
//!
//! ```no_run
//! use std::time::Duration;
//! use kokanee_client::{Data, blocking::Client};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let socket = Client::connect("http://localhost:5000")?;
//! socket.on("my_message", |Data(text): Data<String>| println!("{text}"));
//! let sum: i64 = socket.emit_with_ack("sum", (20, 22)).timeout(Duration::from_secs(1)).wait()?;
//! # Ok(()) }
//! ```
//!
//! * Names and options are those of the async client; [`ClientBuilder::connect_blocking`] is its way in. There is one
//!   background thread for all blocking clients of the process.
//! * Handlers are plain functions with the same parameters. They run on threads of their own and may block: heartbeats go on.
//!   Events of one socket are handled one after the other.
//! * As with every blocking function, these must not be called inside async code: tokio panics there.

mod handler;
mod simple;
mod socket;

use std::{io, sync::OnceLock};

use tokio::runtime::{Builder, Handle, Runtime};

pub use self::{
    handler::Handler,
    simple::SimpleClient,
    socket::{EmitWithAck, Events, Socket},
};
use crate::{ClientBuilder, ConnectFailure};

/// The entry: makes connections to Socket.IO servers.
#[derive(Debug)]
pub struct Client;

impl Client {
    /// Connects with default options, and returns when the namespace has accepted. The URL's path is the namespace.
    ///
    /// # Errors
    /// Why the connection could not be made, with a hint.
    pub fn connect(url: &str) -> Result<Socket, ConnectFailure> {
        Self::builder(url).connect_blocking()
    }

    /// Begins with a URL. End with [`connect_blocking`](ClientBuilder::connect_blocking) or
    /// [`build_blocking`](ClientBuilder::build_blocking).
    pub fn builder(url: &str) -> ClientBuilder {
        crate::Client::builder(url)
    }
}

impl ClientBuilder {
    /// Connects, and returns when the namespace has accepted. For programs that are not async.
    ///
    /// # Errors
    /// Why the connection could not be made, with a hint.
    pub fn connect_blocking(self) -> Result<Socket, ConnectFailure> {
        let socket = self.build_blocking()?;
        socket.connect()?;
        Ok(socket)
    }

    /// Makes a socket that is not connected yet, so that handlers can be added first. For programs that are not async.
    ///
    /// # Errors
    /// An option that cannot be used, or no thread for the background.
    pub fn build_blocking(self) -> Result<Socket, ConnectFailure> {
        let handle = background()?;
        let _entered = handle.enter();
        Ok(Socket::new(self.build()?, handle.clone()))
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
