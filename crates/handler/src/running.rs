//! Handlers that have been started: those that wait for something are kept, and polled until they end.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tracing::{Level, Span};

use crate::{
    ack::Ack,
    call::caught,
    error::{BoxError, EventError, EventErrorKind},
    extract::Kind,
    handler::{Call, Erased, HandlerFuture, Started},
};

/// A handler that waits for something.
#[expect(missing_debug_implementations, reason = "it holds a future")]
pub struct Running {
    future: HandlerFuture,
    /// The event's name, for the report if it fails.
    event: Box<str>,
    /// Whom to tell if it fails. `None` for handlers of anything but events.
    ack: Option<Ack>,
    weight: usize,
    /// Of its event among those of the socket.
    number: u32,
    /// Whether events behind its own need not wait for it.
    concurrent: bool,
}

impl Running {
    /// Notes which event it handles: handlers of the same event have the same number.
    pub fn set_number(&mut self, number: u32) {
        self.number = number;
    }

    /// Returns the number of its event.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Says that events behind its own need not wait for it.
    pub fn set_concurrent(&mut self) {
        self.concurrent = true;
    }

    /// Whether events behind its own need not wait for it.
    pub fn is_concurrent(&self) -> bool {
        self.concurrent
    }

    /// The name of what it handles.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// Notes how many bytes of the event the handler may hold until it ends.
    pub fn set_weight(&mut self, bytes: usize) {
        self.weight = bytes;
    }

    /// The bytes that were noted.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Whether it handles an event.
    pub fn is_event(&self) -> bool {
        self.ack.is_some()
    }

    /// Polls the handler. If it fails, the peer learns of it by its acknowledgement, and the application by `report`.
    pub fn poll(&mut self, cx: &mut Context<'_>, report: impl FnOnce(&EventError)) -> Poll<()> {
        let error = match caught(|| self.future.as_mut().poll_outcome(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(()))) => return Poll::Ready(()),
            Ok(Poll::Ready(Err(error))) => EventErrorKind::Handler(error),
            Err(panic) => EventErrorKind::Panic(panic),
        };
        tell(&self.event, self.ack.as_ref(), error, report);
        Poll::Ready(())
    }
}

/// Calls one handler and polls it once. If it waits, it is added to `running`.
#[inline]
pub fn start<K: Kind>(
    handler: &Erased<K>,
    context: &K::Context<'_>,
    ack: Option<&Ack>,
    cx: &mut Context<'_>,
    running: &mut Vec<Running>,
    report: impl FnOnce(&EventError),
) {
    let error = match caught(|| handler.start(context, cx)) {
        Ok(Ok(Started::Ended(Ok(())))) => return,
        Ok(Ok(Started::Waits(future))) => {
            return running.push(Running {
                future,
                event: K::name(context).into(),
                ack: ack.cloned(),
                weight: 0,
                number: 0,
                concurrent: false,
            });
        }
        Ok(Ok(Started::Ended(Err(error)))) => EventErrorKind::Handler(error),
        Ok(Err(error)) => EventErrorKind::Extract(error),
        Err(panic) => EventErrorKind::Panic(panic),
    };
    tell(K::name(context), ack, error, report);
}

/// A handler that waits, in the span of what it handles.
struct Spanned {
    span: Span,
    future: HandlerFuture,
}

impl Call for Spanned {
    fn poll_outcome(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let Self { span, future } = &mut *self;
        span.in_scope(|| future.as_mut().poll_outcome(cx))
    }
}

/// Starts handlers in a span, in which those that wait run on. Without a debug level there is none.
#[inline]
pub fn in_span(
    name: impl FnOnce() -> Span,
    running: &mut Vec<Running>,
    start: impl FnOnce(&mut Vec<Running>),
) {
    if !tracing::level_enabled!(Level::DEBUG) {
        return start(running);
    }
    let span = name();
    let before = running.len();
    span.in_scope(|| start(running));
    for started in &mut running[before..] {
        let span = span.clone();
        let ended = Box::pin(None::<std::future::Ready<()>>);
        let future = std::mem::replace(&mut started.future, ended);
        started.future = Box::pin(Spanned { span, future });
    }
}

/// Tells the peer and the application of an event that was not handled.
#[cold]
fn tell(event: &str, ack: Option<&Ack>, error: EventErrorKind, report: impl FnOnce(&EventError)) {
    if let Some(ack) = ack {
        ack.send_fault(error.fault());
    }
    let error = EventError::new(event, error);
    // The application's own error handler may panic, too. It is told of nothing then.
    let _ = caught(|| report(&error));
}
