//! [`Handler`]: an async function that can be called with what happened, whatever its parameters are.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::{BoxError, ExtractError, FromContext, Kind, Needs, spare::Placed};

/// What a handler may return: nothing, or a `Result` whose error goes to the application's `on_error` and to the peer's
/// acknowledgement.
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

impl<T: IntoOutcome, E: Into<BoxError>> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Result<(), BoxError> {
        self.map_err(Into::into)?.into_outcome()
    }
}

/// A handler that has been called, and how it ends.
pub trait Call: Send {
    /// Polls it.
    fn poll_outcome(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>>;
}

impl<F: Future<Output: IntoOutcome> + Send> Call for Option<F> {
    #[inline]
    fn poll_outcome(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.as_pin_mut() {
            Some(future) => future.poll(cx).map(IntoOutcome::into_outcome),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// A handler that waits for something.
pub type HandlerFuture = Pin<Box<dyn Call>>;

/// What became of a handler when it was called and polled for the first time.
#[expect(missing_debug_implementations, reason = "it holds a future")]
pub enum Started {
    /// It has ended.
    Ended(Result<(), BoxError>),
    /// It waits for something.
    Waits(HandlerFuture),
}

type Start<K> = dyn Fn(&<K as Kind>::Context<'_>, &mut Context<'_>) -> Result<Started, ExtractError>
    + Send
    + Sync;

/// A handler without its parameters' types.
pub struct Erased<K: Kind>(Arc<Start<K>>);

impl<K: Kind> Clone for Erased<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Kind> fmt::Debug for Erased<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Erased")
    }
}

impl<K: Kind> Erased<K> {
    /// Calls the handler and polls it once.
    ///
    /// # Errors
    /// A parameter that could not be made.
    #[inline]
    pub fn start(
        &self,
        context: &K::Context<'_>,
        cx: &mut Context<'_>,
    ) -> Result<Started, ExtractError> {
        (self.0)(context, cx)
    }

    /// `call` makes the future in its place: it may be large, and need not be moved there.
    fn new<Fut>(
        call: impl Fn(&K::Context<'_>, Pin<&mut Option<Fut>>) -> Result<(), ExtractError>
        + Send
        + Sync
        + 'static,
    ) -> Self
    where
        Fut: Future<Output: IntoOutcome> + Send + 'static,
    {
        Self(Arc::new(
            move |context: &K::Context<'_>, cx: &mut Context<'_>| {
                let mut placed = Placed::empty();
                if let Err(error) = call(context, placed.future()) {
                    placed.end();
                    return Err(error);
                }
                Ok(match placed.future().poll_outcome(cx) {
                    Poll::Pending => Started::Waits(placed.into_place()),
                    Poll::Ready(outcome) => {
                        placed.end();
                        Started::Ended(outcome)
                    }
                })
            },
        ))
    }
}

/// An async function that can handle what `K` says.
///
/// Implemented for functions and closures of up to eight parameters that implement [`FromContext<K>`]. A closure that
/// keeps something of its own clones it into the future: `move |s: Socket| { let db = db.clone(); async move { … } }`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is an async function; every parameter must be an extractor of this kind (Socket, Data<T>, Ack, State<T>, …)",
    note = "it returns nothing, or a Result<(), E>; its future must be Send"
)]
pub trait Handler<Args, K: Kind>: Send + Sync + 'static {
    /// Forgets the parameters' types.
    #[doc(hidden)]
    fn erase(self) -> Erased<K>;

    /// What its parameters need.
    #[doc(hidden)]
    fn needs() -> Needs;
}

macro_rules! impl_handler {
    ($($name:ident: $param:ident),*) => {
        impl<F, Fut, K, $($param),*> Handler<($($param,)*), K> for F
        where
            K: Kind,
            F: Fn($($param),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoOutcome> + Send + 'static,
            $($param: FromContext<K> + 'static,)*
        {
            fn erase(self) -> Erased<K> {
                Erased::new(
                    move |_context: &K::Context<'_>, mut place: Pin<&mut Option<Fut>>| {
                        $(let $name = $param::from_context(_context)?;)*
                        debug_assert!(place.is_none(), "places are kept empty");
                        // Always so. Asked, so that no code is made that drops another future.
                        if place.is_none() {
                            place.set(Some(self($($name),*)));
                        }
                        Ok(())
                    },
                )
            }

            fn needs() -> Needs {
                #[allow(unused_mut, reason = "without parameters there are none")]
                let mut needs = Needs::default();
                $(<$param as FromContext<K>>::needs(&mut needs);)*
                needs
            }
        }
    };
}

impl_handler!();
impl_handler!(a: A);
impl_handler!(a: A, b: B);
impl_handler!(a: A, b: B, c: C);
impl_handler!(a: A, b: B, c: C, d: D);
impl_handler!(a: A, b: B, c: C, d: D, e: E);
impl_handler!(a: A, b: B, c: C, d: D, e: E, g: G);
impl_handler!(a: A, b: B, c: C, d: D, e: E, g: G, h: H);
impl_handler!(a: A, b: B, c: C, d: D, e: E, g: G, h: H, i: I);
