//! The Socket.IO client: connects to any Socket.IO server over long-polling and WebSocket, and reconnects automatically.
//!
//! ```
#![doc = include_str!("doctest/server.md")]
//! use std::time::Duration;
//! use kokanee_client::{Client, Data};
//!
//! let socket = Client::builder(&url)
//!     .on("my_message", async |Data(text): Data<String>| println!("{text}"))
//!     .connect()
//!     .await?;
//! let sum: i64 = socket.emit_with_ack("sum", (20, 22)).timeout(Duration::from_secs(1)).await?;
//! # Ok(()) }
//! ```
//!
//! * [`Client::builder`] has all options. [`Socket`] is the handle of one namespace, and [`Socket::of`] adds others.
//! * Handlers are async functions whose parameters are [extractors](extract).
//! * [`SimpleClient`] is for scripts that pull events one at a time; [`blocking`] is for programs that are not async.
//! * The client reconnects automatically. Events emitted while offline are buffered and sent on reconnect; servers with
//!   connection state recovery replay missed events.
//! * What can go wrong while connecting is [`ConnectFailure`], with a hint in its text. What can go wrong with an event is
//!   [`EmitError`], and with an acknowledgement [`AckError`]:
//!
//! ```
#![doc = include_str!("doctest/server.md")]
//! use kokanee_client::{AckError, Client};
//!
//! let socket = Client::connect(&url).await?;
//! match socket.emit_with_ack::<i64>("sum", (20, 22)).await {
//!     Ok(sum) => assert_eq!(sum, 42),
//!     // The handler of the server returned a `ClientError`, or the arguments do not fit.
//!     Err(AckError::Remote(error)) => eprintln!("refused: {} ({})", error.message, error.code),
//!     Err(AckError::Timeout) => eprintln!("no answer in time"),
//!     Err(AckError::Disconnected) => eprintln!("the connection was lost before the answer"),
//!     Err(error) => eprintln!("{error}"),
//! }
//! # Ok(()) }
//! ```

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
mod reply;
mod simple;
mod socket;
mod stream;
mod unclaimed;

pub use self::{
    acks::EmitWithAck,
    client::{Async, Client, ClientBuilder},
    engine::ConnectFailure,
    extract::{Attempt, Failure},
    options::Endpoint,
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
