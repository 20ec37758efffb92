//! Handlers that have been called and are not finished: they are kept, and polled until they are.

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

/// A handler that is not finished.
#[expect(missing_debug_implementations, reason = "it holds a future")]
pub struct Running {
    future: HandlerFuture,
    /// The event's name, for the error report.
    event: Box<str>,
    /// The acknowledgement that is sent if it fails. `None` unless it handles an event.
    ack: Option<Ack>,
    weight: usize,
    /// The number of its event, unique within the socket.
    number: u32,
    /// Whether later events need not wait for it.
    concurrent: bool,
}

impl Running {
    /// Sets the number of its event: handlers of the same event have the same number.
    pub fn set_number(&mut self, number: u32) {
        self.number = number;
    }

    /// Returns the number of its event.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Marks it as one that later events need not wait for.
    pub fn set_concurrent(&mut self) {
        self.concurrent = true;
    }

    /// Returns whether later events need not wait for it.
    pub fn is_concurrent(&self) -> bool {
        self.concurrent
    }

    /// Returns the name of its event.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// Sets how many bytes of the event the handler keeps allocated until it is finished.
    pub fn set_weight(&mut self, bytes: usize) {
        self.weight = bytes;
    }

    /// Returns the bytes that [`set_weight`](Self::set_weight) has set.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Returns whether it handles an event.
    pub fn is_event(&self) -> bool {
        self.ack.is_some()
    }

    /// Keeps a value until the handler is finished: the value is dropped with it.
    pub fn keep(&mut self, value: impl Send + Unpin + 'static) {
        self.wrap(|future| {
            Box::pin(Keeping {
                future,
                _value: value,
            })
        });
    }

    /// Replaces the handler with one that contains it.
    fn wrap(&mut self, wrap: impl FnOnce(HandlerFuture) -> HandlerFuture) {
        let ended = Box::pin(None::<std::future::Ready<()>>);
        let future = std::mem::replace(&mut self.future, ended);
        self.future = wrap(future);
    }

    /// Polls the handler. If it fails, the error is sent to the peer as the acknowledgement, and passed to `report`.
    pub fn poll(&mut self, cx: &mut Context<'_>, report: impl FnOnce(&EventError)) -> Poll<()> {
        let error = match caught(|| self.future.as_mut().poll_outcome(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(()))) => return Poll::Ready(()),
            Ok(Poll::Ready(Err(error))) => EventErrorKind::Handler(error),
            Err(panic) => EventErrorKind::Panic(panic),
        };
        report_failure(&self.event, self.ack.as_ref(), error, report);
        Poll::Ready(())
    }
}

/// Calls one handler and polls it once. If it is not finished then, it is added to `running`.
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
    report_failure(K::name(context), ack, error, report);
}

/// A handler that is polled in the span of its event.
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

/// A handler, and a value that is dropped with it.
struct Keeping<T> {
    future: HandlerFuture,
    _value: T,
}

impl<T: Send + Unpin> Call for Keeping<T> {
    fn poll_outcome(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.future.as_mut().poll_outcome(cx)
    }
}

/// Calls handlers in a span, which is also entered when they are polled later. Without debug level there is no span.
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
        started.wrap(|future| Box::pin(Spanned { span, future }));
    }
}

/// Reports a failed event to the peer and the application.
#[cold]
fn report_failure(
    event: &str,
    ack: Option<&Ack>,
    error: EventErrorKind,
    report: impl FnOnce(&EventError),
) {
    if let Some(ack) = ack {
        ack.send_fault(error.fault());
    }
    let error = EventError::new(event, error);
    // The application's error handler may panic, too. That is ignored.
    let _ = caught(|| report(&error));
}
