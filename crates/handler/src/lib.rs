//! Event handlers for server and client: async functions whose parameters are extracted from the context of a call.
//!
//! Each side defines its kinds of handlers ([`Kind`]) and the context of their calls ([`Kind::Context`]). This crate
//! defines what both sides share: how a handler is called, what it may return, which parameters it can have, and how
//! its errors and panics are handled. No I/O and no runtime.

mod ack;
mod call;
mod error;
mod extract;
mod handler;
mod needs;
mod refusal;
mod running;
mod spare;
mod state;
mod typed;

pub use self::{
    ack::{Ack, AckSink},
    call::{caught, poll_caught},
    error::{AckError, BoxError, EmitError, EventError, EventErrorKind, ExtractError, RemoteError},
    extract::{Data, EventKind, EventName, FromContext, Kind},
    handler::{Call, Callable, Erased, Handler, HandlerFuture, IntoOutcome, Parameters, Started},
    needs::{Needs, check_event_name},
    refusal::{ClientError, Fault, read_ack},
    running::{Running, in_span, start},
    state::{State, States},
    typed::{Event, Typed, TypedAck, TypedArgs},
};
