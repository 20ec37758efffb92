//! Handlers: async functions of the application, with [extractors](crate::extract) as parameters.

use std::{future::Future, pin::Pin, sync::Arc};

use crate::{
    BoxError, ConnectError,
    extract::{Context, ExtractError, FromContext},
};

pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// A handler without its parameters' types.
pub(crate) type ErasedHandler =
    Arc<dyn Fn(&Context<'_>) -> Result<HandlerFuture, ExtractError> + Send + Sync>;

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
                Arc::new(move |_context: &Context<'_>| {
                    let future = self($($param::from_context(_context)?),*);
                    Ok(Box::pin(async move { future.await.into_outcome() }) as HandlerFuture)
                })
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
