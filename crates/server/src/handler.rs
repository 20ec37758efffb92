//! Middlewares: async functions that decide whether a socket may join. Handlers are [`kokanee_handler`]'s.

use std::{future::Future, pin::Pin, sync::Arc};

use kokanee_handler::{Callable, ExtractError, Needs, Parameters};

use crate::{
    extract::{Context, OnConnect},
    reason::ConnectError,
};

pub(crate) type MiddlewareFuture = Pin<Box<dyn Future<Output = Result<(), ConnectError>> + Send>>;
pub(crate) type ErasedMiddleware =
    Arc<dyn Fn(&Context<'_>) -> Result<MiddlewareFuture, ExtractError> + Send + Sync>;

/// Turns what a middleware returns into its decision: a `Result<(), E>` whose error is a [`ConnectError`] or converts to one.
///
/// ```
/// # use kokanee_server::{ConnectError, Server, Socket};
/// # let io = Server::new();
/// # async fn is_banned(socket: &Socket) -> Result<bool, std::io::Error> { Ok(false) }
/// io.middleware(async |socket: Socket| {
///     // Other errors are mapped: this decides what the client sees of them.
///     let is_banned = is_banned(&socket).await.map_err(|_| ConnectError::new("try again later"))?;
///     if is_banned { Err(ConnectError::new("banned")) } else { Ok(()) }
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "a middleware cannot return `{Self}`",
    label = "returns `{Self}`",
    note = "a middleware returns a `Result<(), E>` whose error is a `ConnectError` or can be turned into one, as a text can: \
            `if allowed {{ Ok(()) }} else {{ Err(\"not authorized\") }}`",
    note = "of another error it says what the client may see: `.map_err(|_| ConnectError::new(\"no such user\"))?`"
)]
pub trait IntoVerdict {
    /// Returns the refusal, if there is one.
    ///
    /// # Errors
    /// What the client receives as `connect_error`.
    fn into_verdict(self) -> Result<(), ConnectError>;
}

#[diagnostic::do_not_recommend]
impl<E: Into<ConnectError>> IntoVerdict for Result<(), E> {
    fn into_verdict(self) -> Result<(), ConnectError> {
        self.map_err(Into::into)
    }
}

/// Decides whether a socket may join: an async function, as [`Handler`](crate::Handler), which returns a `Result` whose error
/// becomes a [`ConnectError`].
///
/// ```
/// use kokanee_server::{ConnectError, Handshake, Server};
///
/// async fn no_old_browsers(handshake: Handshake) -> Result<(), ConnectError> {
///     match handshake.header("user-agent") {
///         Some(agent) if agent.contains("MSIE") => Err(ConnectError::new("use a newer browser")),
///         _ => Ok(()),
///     }
/// }
///
/// let io = Server::new();
/// io.middleware(no_old_browsers);
/// ```
#[diagnostic::on_unimplemented(
    message = "this is not a middleware",
    label = "not an async function that can be called for every socket",
    note = "if it captures a variable: state of the application is a parameter, `State<T>`; anything else is cloned for each call: \
            `move |socket: Socket| {{ let x = x.clone(); async move {{ … }} }}`",
    note = "if it captures nothing: a middleware is `async |socket: Socket, Auth(login): Auth<Login>| {{ … }}`, or an `async fn`, of at \
            most eight parameters whose types are written out"
)]
pub trait Middleware<Args>: Send + Sync + 'static {
    /// Erases the types of the parameters.
    #[doc(hidden)]
    fn erase(self) -> ErasedMiddleware;

    /// Returns what the parameters need.
    #[doc(hidden)]
    fn needs() -> Needs;
}

impl<F, Args> Middleware<Args> for F
where
    F: Callable<Args>,
    Args: Parameters<OnConnect>,
    F::Future: Future<Output: IntoVerdict> + Send + 'static,
{
    fn erase(self) -> ErasedMiddleware {
        Arc::new(move |context: &Context<'_>| {
            let future = self.call(Args::from_context(context)?);
            Ok(Box::pin(async move { future.await.into_verdict() }) as MiddlewareFuture)
        })
    }

    fn needs() -> Needs {
        let mut needs = Needs::default();
        Args::needs(&mut needs);
        needs
    }
}
