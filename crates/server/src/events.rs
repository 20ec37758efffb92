//! Calls the handlers of the application: inline until they wait, and so that no panic reaches the session.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use kokanee_handler::{Ack, Erased, EventError, Running, caught};
use kokanee_socketio::{AckId, RawEvent};
use tokio::sync::oneshot;
use tracing::Level;

use crate::{
    extract::{Context, OnEvent, ServerKind},
    handler::MiddlewareFuture,
    metrics::HandlerTimer,
    namespace::Handlers,
    reason::{ConnectError, DisconnectReason},
    socket::Socket,
};

/// Reports an event that was not handled to the application.
pub(crate) fn report(socket: &Socket, error: &EventError) {
    // The application's error handler may panic as well.
    if caught(|| socket.namespace().report(socket, error)).is_err() {
        tracing::error!("the error handler panicked");
    }
}

/// Polls a handler that waits for something.
pub(crate) fn poll(running: &mut Running, socket: &Socket, cx: &mut TaskContext<'_>) -> Poll<()> {
    running.poll(cx, |error| report(socket, error))
}

/// Calls one handler and polls it once. If it waits, it is added to `running`.
fn start<K: ServerKind>(
    handler: &Erased<K>,
    context: &Context<'_>,
    ack: Option<&Ack>,
    cx: &mut TaskContext<'_>,
    running: &mut Vec<Running>,
) {
    kokanee_handler::start(handler, context, ack, cx, running, |error| {
        report(context.socket, error);
    });
}

/// Starts handlers in a span with the names of namespace, socket and event, in which handlers that wait continue. The span
/// exists at debug level only.
#[cold]
fn in_span(
    socket: &Socket,
    event: &str,
    running: &mut Vec<Running>,
    start: impl FnOnce(&mut Vec<Running>),
) {
    let name = || {
        let namespace = socket.namespace().name();
        tracing::debug_span!("event", namespace, socket = %socket.id(), event)
    };
    kokanee_handler::in_span(name, running, start);
}

/// Starts the handlers of an event. Those that wait for something are added to `running`.
#[expect(clippy::inline_always, reason = "for each event, at one place")]
#[inline(always)]
pub(crate) fn start_event(
    socket: &Socket,
    handlers: &Handlers,
    event: &RawEvent,
    id: Option<AckId>,
    cx: &mut TaskContext<'_>,
    running: &mut Vec<Running>,
) {
    let before = running.len();
    let timer = socket.mailbox().metrics.time_event();
    start_in_span(socket, handlers, event, id, cx, running);
    if let Some(timer) = timer {
        keep_timer(&timer, &mut running[before..]);
    }
}

/// Measures the time to the end of the last handler.
#[cold]
fn keep_timer(timer: &Arc<HandlerTimer>, started: &mut [Running]) {
    for handler in started {
        handler.keep(Arc::clone(timer));
    }
}

#[inline]
fn start_in_span(
    socket: &Socket,
    handlers: &Handlers,
    event: &RawEvent,
    id: Option<AckId>,
    cx: &mut TaskContext<'_>,
    running: &mut Vec<Running>,
) {
    if tracing::level_enabled!(Level::DEBUG) {
        return in_span(socket, event.name(), running, |running| {
            start_handlers(socket, handlers, event, id, cx, running);
        });
    }
    start_handlers(socket, handlers, event, id, cx, running);
}

#[inline]
fn start_handlers(
    socket: &Socket,
    handlers: &Handlers,
    event: &RawEvent,
    id: Option<AckId>,
    cx: &mut TaskContext<'_>,
    running: &mut Vec<Running>,
) {
    let name = event.name();
    let ack = id.map_or_else(Ack::default, |id| Ack::new(socket.clone(), id, name));
    let context = Context {
        event: Some(event),
        ack: Some(&ack),
        ..Context::new(socket)
    };
    let own = socket.listeners_of(name);
    if !handlers.any.is_empty() {
        start_all(&handlers.any, &context, cx, running);
    }
    if let Some(own) = &own {
        start_all(&own.any, &context, cx, running);
    }
    let named = handlers.event(name);
    start_all(named, &context, cx, running);
    if named.is_empty() || own.is_some() {
        start_others(own.as_deref(), named, handlers, &context, cx, running);
    }
}

fn start_all(
    handlers: &[Erased<OnEvent>],
    context: &Context<'_>,
    cx: &mut TaskContext<'_>,
    running: &mut Vec<Running>,
) {
    for handler in handlers {
        start(handler, context, context.ack, cx, running);
    }
}

/// Starts the socket's own handlers of an event, or those for events without handlers.
#[inline(never)]
fn start_others(
    own: Option<&Handlers>,
    named: &[Erased<OnEvent>],
    handlers: &Handlers,
    context: &Context<'_>,
    cx: &mut TaskContext<'_>,
    running: &mut Vec<Running>,
) {
    let name = context.event.map_or("", RawEvent::name);
    let own_named = own.map_or(&[][..], |own| own.event(name));
    start_all(own_named, context, cx, running);
    if named.is_empty() && own_named.is_empty() {
        start_all(&handlers.fallback, context, cx, running);
        let has_any = !handlers.any.is_empty() || own.is_some_and(|own| !own.any.is_empty());
        if !has_any && handlers.fallback.is_empty() {
            let namespace = context.socket.namespace();
            namespace.note_unhandled(context.socket, name);
            context.socket.mailbox().metrics.event_unhandled();
        }
    }
}

/// Starts the handlers of a new connection. Those that wait for something are added to `running`.
pub(crate) fn start_connect(socket: &Socket, cx: &mut TaskContext<'_>, running: &mut Vec<Running>) {
    let context = Context::new(socket);
    in_span(socket, "connection", running, |running| {
        for handler in &socket.namespace().handlers().connect {
            start(handler, &context, None, cx, running);
        }
    });
}

/// Returns the decision of the middlewares, which run one after the other. Returns `None` if there are none.
pub(crate) fn start_middlewares(socket: &Socket) -> Option<MiddlewareFuture> {
    let handlers = socket.namespace().handlers();
    if handlers.middlewares.is_empty() {
        return None;
    }
    let socket = socket.clone();
    Some(Box::pin(async move {
        for middleware in &handlers.middlewares {
            middleware(&Context::new(&socket))
                .map_err(|error| ConnectError::from_fault(&error.fault()))?
                .await?;
        }
        Ok(())
    }))
}

/// How long a client that comes back waits for the end of the socket that it had.
const MAX_WAIT_FOR_END: Duration = Duration::from_secs(5);

/// Returns what must end before a recovered socket is accepted: the handlers of the connection that was lost, so that
/// `on_disconnect` comes before `on_connect`, then its middlewares.
pub(crate) fn after_end(
    ended: Option<oneshot::Receiver<()>>,
    middlewares: Option<MiddlewareFuture>,
) -> Option<MiddlewareFuture> {
    let is_over = |ended: &mut oneshot::Receiver<()>| {
        ended.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    };
    let Some(ended) = ended.and_then(|mut ended| (!is_over(&mut ended)).then_some(ended)) else {
        return middlewares;
    };
    Some(Box::pin(async move {
        if tokio::time::timeout(MAX_WAIT_FOR_END, ended).await.is_err() {
            tracing::warn!("a client has come back, and handlers of its lost connection still run");
        }
        match middlewares {
            Some(middlewares) => middlewares.await,
            None => Ok(()),
        }
    }))
}

/// Completes the work of a disconnected socket: running handlers, queued events, then `on_disconnect`, which waits for the
/// others no longer than [`Limits::handler_drain_timeout`](crate::Limits::handler_drain_timeout). Handlers that run longer
/// continue; events that are still queued then are dropped.
pub(crate) async fn finish(
    socket: Socket,
    mut running: Vec<Running>,
    mut waiting: VecDeque<(RawEvent, Option<AckId>)>,
    reason: DisconnectReason,
) {
    let limit = socket.namespace().limits().handler_drain_timeout;
    let drained = tokio::time::timeout(limit, drain(&socket, &mut running, &mut waiting)).await;
    if drained.is_err() {
        tracing::warn!(
            namespace = socket.namespace().name(),
            socket = %socket.id(),
            dropped_events = waiting.len(),
            "handlers still run after the disconnection, events that wait for them are dropped"
        );
        drop(waiting);
        let socket = socket.clone();
        tokio::spawn(async move { run(&socket, &mut running).await });
    }
    let context = Context {
        reason: Some(reason),
        ..Context::new(&socket)
    };
    let (handlers, own) = (socket.namespace().handlers(), socket.listeners());
    let own = own.iter().flat_map(|own| &own.disconnect);
    for handler in handlers.disconnect.iter().chain(own) {
        let mut running = Vec::new();
        std::future::poll_fn(|cx| {
            in_span(&socket, "disconnect", &mut running, |running| {
                start(handler, &context, None, cx, running);
            });
            Poll::Ready(())
        })
        .await;
        run(&socket, &mut running).await;
    }
    socket.drop_listeners();
}

/// Waits for the running handlers, then handles the queued events. Cancel safe: both lists keep the rest.
async fn drain(
    socket: &Socket,
    running: &mut Vec<Running>,
    waiting: &mut VecDeque<(RawEvent, Option<AckId>)>,
) {
    run(socket, running).await;
    let handlers = socket.namespace().handlers();
    while let Some((event, id)) = waiting.pop_front() {
        std::future::poll_fn(|cx| {
            start_event(socket, &handlers, &event, id, cx, running);
            Poll::Ready(())
        })
        .await;
        run(socket, running).await;
    }
}

async fn run(socket: &Socket, running: &mut Vec<Running>) {
    std::future::poll_fn(|cx| {
        running.retain_mut(|handler| poll(handler, socket, cx).is_pending());
        if running.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
