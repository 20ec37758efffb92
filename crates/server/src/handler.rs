//! Middlewares: async functions that decide whether a socket may join. Handlers are [`kokanee_handler`]'s.

use std::{future::Future, pin::Pin, sync::Arc};

use kokanee_handler::{ExtractError, FromContext, Needs};

use crate::{
    ConnectError,
    extract::{Context, OnConnect},
};

pub(crate) type MiddlewareFuture = Pin<Box<dyn Future<Output = Result<(), ConnectError>> + Send>>;
pub(crate) type ErasedMiddleware =
    Arc<dyn Fn(&Context<'_>) -> Result<MiddlewareFuture, ExtractError> + Send + Sync>;

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

/// An async function that decides whether a socket may join: as [`Handler`](crate::Handler), but it returns a `Result` whose error
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

    /// What its parameters need.
    #[doc(hidden)]
    fn needs() -> Needs;
}

macro_rules! impl_middleware {
    ($($param:ident),*) => {
        impl<F, Fut, $($param),*> Middleware<($($param,)*)> for F
        where
            F: Fn($($param),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoVerdict> + Send + 'static,
            $($param: FromContext<OnConnect> + 'static,)*
        {
            fn erase(self) -> ErasedMiddleware {
                Arc::new(move |_context: &Context<'_>| {
                    let future = self($($param::from_context(_context)?),*);
                    Ok(Box::pin(async move { future.await.into_verdict() }) as MiddlewareFuture)
                })
            }

            fn needs() -> Needs {
                #[allow(unused_mut, reason = "without parameters there are none")]
                let mut needs = Needs::default();
                $(<$param as FromContext<OnConnect>>::needs(&mut needs);)*
                needs
            }
        }
    };
}

impl_middleware!();
impl_middleware!(A);
impl_middleware!(A, B);
impl_middleware!(A, B, C);
impl_middleware!(A, B, C, D);
impl_middleware!(A, B, C, D, E);
impl_middleware!(A, B, C, D, E, G);
impl_middleware!(A, B, C, D, E, G, H);
impl_middleware!(A, B, C, D, E, G, H, I);
