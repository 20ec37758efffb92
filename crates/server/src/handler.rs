//! Handlers: async functions of the application, with [extractors](crate::extract) as parameters.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use crate::{
    BoxError, ConnectError,
    extract::{Context, ExtractError, FromContext},
    spare,
};

/// A handler that has been called, and how it ends.
pub(crate) trait Call {
    /// Polls it.
    fn poll_outcome(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<(), BoxError>>;
}

impl<F: Future<Output: IntoOutcome>> Call for Option<F> {
    fn poll_outcome(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<(), BoxError>> {
        match self.as_pin_mut() {
            Some(future) => future.poll(cx).map(IntoOutcome::into_outcome),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// A handler that waits for something.
pub(crate) type HandlerFuture = Pin<Box<dyn Call + Send>>;

/// What became of a handler when it was called and polled for the first time.
pub(crate) enum Started {
    Ended(Result<(), BoxError>),
    Waits(HandlerFuture),
}

type Start =
    dyn Fn(&Context<'_>, &mut TaskContext<'_>) -> Result<Started, ExtractError> + Send + Sync;

/// A handler without its parameters' types.
#[derive(Clone)]
#[expect(unnameable_types, reason = "only `Handler` makes and uses it")]
pub struct ErasedHandler(Arc<Start>);

impl std::fmt::Debug for ErasedHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ErasedHandler")
    }
}

impl ErasedHandler {
    /// Calls the handler and polls it once.
    pub(crate) fn start(
        &self,
        context: &Context<'_>,
        cx: &mut TaskContext<'_>,
    ) -> Result<Started, ExtractError> {
        (self.0)(context, cx)
    }
}

pub(crate) type MiddlewareFuture = Pin<Box<dyn Future<Output = Result<(), ConnectError>> + Send>>;
pub(crate) type ErasedMiddleware =
    Arc<dyn Fn(&Context<'_>) -> Result<MiddlewareFuture, ExtractError> + Send + Sync>;

/// What a handler may return: nothing, or a `Result` whose error goes to
/// [`Namespace::on_error`](crate::Namespace::on_error) and to the client's acknowledgement.
pub trait IntoOutcome {
    /// The error, if there was one.
    ///
    /// # Errors
    /// The handler's own.
    fn into_outcome(self) -> Result<(), BoxError>;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

/// What a middleware may return.
pub trait IntoVerdict {
    /// The refusal, if there is one.
    ///
    /// # Errors
    /// What the client gets as `connect_error`.
    fn into_verdict(self) -> Result<(), ConnectError>;
}

impl<E: Into<ConnectError>> IntoVerdict for Result<(), E> {
    fn into_verdict(self) -> Result<(), ConnectError> {
        self.map_err(Into::into)
    }
}

/// An async function that can handle what `K` says: [`OnEvent`](crate::extract::OnEvent),
/// [`OnConnect`](crate::extract::OnConnect) or [`OnDisconnect`](crate::extract::OnDisconnect).
///
/// Implemented for functions and closures of up to eight parameters that implement [`FromContext<K>`]. A closure that
/// keeps something of its own clones it into the future: `move |s: Socket| { let db = db.clone(); async move { … } }`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is an async function; every parameter must be an extractor of this kind (Socket, Data<T>, Ack, State<T>, …)",
    note = "it returns nothing, or a Result<(), E>; its future must be Send"
)]
pub trait Handler<Args, K>: Send + Sync + 'static {
    /// Forgets the parameters' types.
    #[doc(hidden)]
    fn erase(self) -> ErasedHandler;
}

/// An async function that decides whether a socket may join: as [`Handler`], but it returns a `Result` whose error
/// becomes a [`ConnectError`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a middleware",
    note = "a middleware is an async function of extractors (Socket, Auth<T>, Handshake, State<T>, …)",
    note = "it returns Result<(), E> where E becomes a ConnectError; its future must be Send"
)]
pub trait Middleware<Args>: Send + Sync + 'static {
    /// Forgets the parameters' types.
    #[doc(hidden)]
    fn erase(self) -> ErasedMiddleware;
}

macro_rules! impl_handler {
    ($($param:ident),*) => {
        impl<F, Fut, K, $($param),*> Handler<($($param,)*), K> for F
        where
            F: Fn($($param),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoOutcome> + Send + 'static,
            $($param: FromContext<K> + 'static,)*
        {
            fn erase(self) -> ErasedHandler {
                ErasedHandler(Arc::new(move |_context: &Context<'_>, cx: &mut TaskContext<'_>| {
                    let future = self($($param::from_context(_context)?),*);
                    let mut place = spare::place(future);
                    Ok(match place.as_mut().poll_outcome(cx) {
                        Poll::Pending => Started::Waits(place),
                        Poll::Ready(outcome) => {
                            spare::keep(place);
                            Started::Ended(outcome)
                        }
                    })
                }))
            }
        }

        impl<F, Fut, $($param),*> Middleware<($($param,)*)> for F
        where
            F: Fn($($param),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoVerdict> + Send + 'static,
            $($param: FromContext<crate::extract::OnConnect> + 'static,)*
        {
            fn erase(self) -> ErasedMiddleware {
                Arc::new(move |_context: &Context<'_>| {
                    let future = self($($param::from_context(_context)?),*);
                    Ok(Box::pin(async move { future.await.into_verdict() }) as MiddlewareFuture)
                })
            }
        }
    };
}

impl_handler!();
impl_handler!(A);
impl_handler!(A, B);
impl_handler!(A, B, C);
impl_handler!(A, B, C, D);
impl_handler!(A, B, C, D, E);
impl_handler!(A, B, C, D, E, G);
impl_handler!(A, B, C, D, E, G, H);
impl_handler!(A, B, C, D, E, G, H, I);
