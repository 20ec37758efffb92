//! The Socket.IO client: connects to any Socket.IO server, over long-polling and WebSocket, and connects again by itself.
//!
//! ```no_run
//! use std::time::Duration;
//! use kokanee_client::{Client, Data};
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let socket = Client::builder("http://localhost:5000")
//!     .on("my_message", async |Data(text): Data<String>| println!("{text}"))
//!     .connect()
//!     .await?;
//! let sum: i64 = socket.emit_with_ack("sum", (20, 22)).timeout(Duration::from_secs(1)).await?;
//! # Ok(()) }
//! ```
//!
//! * [`Client::builder`] has all options; [`Socket`] is the handle of one namespace, [`Socket::of`] adds others.
//! * [`SimpleClient`] is for scripts that ask for the next event; [`blocking`] is for programs that are not async.
//! * What can go wrong while connecting is [`ConnectFailure`], with a hint in its text.

mod acks;
mod attach;
mod attached;
pub mod blocking;
mod client;
mod driver;
mod engine;
pub mod extract;
mod handlers;
mod hub;
mod options;
mod reason;
mod simple;
mod socket;
mod stream;
mod unclaimed;

pub use self::{
    acks::EmitWithAck,
    client::{Async, Client, ClientBuilder},
    engine::ConnectFailure,
    extract::{Attempt, Failure},
    reason::{CloseDetails, DisconnectError, DisconnectReason},
    simple::{ReceiveError, SimpleClient},
    socket::{Emit, Socket},
    stream::{Events, Received},
};
pub use http;
pub use kokanee_engineio::{CloseReason, Revision, Str, Transport};
pub use kokanee_handler::{
    Ack, AckError, BoxError, ClientError, Data, EmitError, Event, EventError, EventErrorKind,
    EventKind, EventName, ExtractError, Fault, FromContext, Handler, IntoOutcome, Kind, Needs,
    RemoteError, State, Typed, TypedAck, TypedArgs,
};
pub use kokanee_socketio::{Args, ArgsError, EncodeError, ParserKind, RawEvent, Value};
