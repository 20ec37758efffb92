//! Handlers of events, for server and client alike: async functions whose parameters are extracted from what happened.
//!
//! Each side names what can happen to it ([`Kind`]) and what is known then ([`Kind::Context`]); how a handler is called,
//! what it may return, what it can extract from any event and how its end is caught are here, once. No I/O and no runtime.

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
    refusal::{ClientError, Fault, answer},
    running::{Running, in_span, start},
    state::{State, States},
    typed::{Event, Typed, TypedAck, TypedArgs},
};
