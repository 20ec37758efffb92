//! [`Handler`]: an async function that can be called with what happened, whatever its parameters are.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::{
    error::{BoxError, ExtractError},
    extract::{FromContext, Kind},
    needs::Needs,
    spare::Placed,
};

/// What a handler may return: nothing, or a `Result` whose error goes to the application's `on_error` and to the peer's
/// acknowledgement.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "returns `{Self}`",
    note = "a handler returns nothing, or a `Result<(), E>` whose error can be turned into a `BoxError`",
    note = "a future, such as that of `emit`, is to be awaited: `socket.emit(…).await`",
    note = "an event is answered through a parameter: `async |ack: Ack| ack.send(value)`, or `ack.send_result(result)`"
)]
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

/// A function that can be called again and again, from any thread.
///
/// Between [`Handler`] and `Fn`, for the compiler's errors: of a closure that is no `Fn`, because it captures something that its
/// future borrows or uses up, they say what `Handler` says.
#[doc(hidden)]
pub trait Callable<Args>: Send + Sync + 'static {
    /// The async function's future.
    type Future;

    /// Calls it.
    fn call(&self, args: Args) -> Self::Future;
}

/// An async function that can handle what `K` says.
///
/// Implemented for async functions and closures of up to eight parameters that implement [`FromContext<K>`], which return
/// nothing or a `Result<(), E>`.
///
/// A closure is called once for every event, so an `async` closure cannot capture anything. What many handlers share is
/// [state](FromContext) of the application. What belongs to one handler is cloned for every call:
///
/// ```
/// # use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
/// # use kokanee_handler::{BoxError, Handler, Kind};
/// # fn on<K: Kind, H: Handler<(), K>>(event: &str, handler: H) {}
/// # fn f<K: Kind>() {
/// let count = Arc::new(AtomicU64::new(0));
/// on::<K, _>("click", move || {
///     let count = Arc::clone(&count);
///     async move {
///         count.fetch_add(1, Ordering::Relaxed);
///     }
/// });
/// # }
/// ```
///
/// A handler that uses `?` and ends with `Ok(())` says which error that would be; any does that is `Into<BoxError>`:
///
/// ```
/// # use kokanee_handler::{BoxError, Handler, Kind};
/// # fn on<K: Kind, H: Handler<(), K>>(event: &str, handler: H) {}
/// # fn f<K: Kind>() {
/// on::<K, _>("save", async || -> Result<(), BoxError> {
///     let _notes = std::fs::read_to_string("notes.txt")?;
///     Ok(())
/// });
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "this is not a handler",
    label = "not an async function that can be called for every event",
    note = "if it captures a variable: state of the application is a parameter, `State<T>`; anything else is cloned for each call: \
            `move |socket: Socket| {{ let x = x.clone(); async move {{ … }} }}`",
    note = "if it captures nothing: a handler is `async |socket: Socket, Data(text): Data<String>| {{ … }}`, or an `async fn`, of at \
            most eight parameters whose types are written out"
)]
pub trait Handler<Args, K: Kind>: Send + Sync + 'static {
    /// Forgets the parameters' types.
    #[doc(hidden)]
    fn erase(self) -> Erased<K>;

    /// What its parameters need.
    #[doc(hidden)]
    fn needs() -> Needs;
}

// One impl for all numbers of parameters: the compiler then knows which one is meant, and says what is wrong with it.
impl<F, K, Args> Handler<Args, K> for F
where
    K: Kind,
    F: Callable<Args>,
    Args: Parameters<K>,
    F::Future: Future<Output: IntoOutcome> + Send + 'static,
{
    fn erase(self) -> Erased<K> {
        Erased::new(
            move |context: &K::Context<'_>, mut place: Pin<&mut Option<F::Future>>| {
                let args = Args::from_context(context)?;
                debug_assert!(place.is_none(), "places are kept empty");
                // Always so. Asked, so that no code is made that drops another future.
                if place.is_none() {
                    place.set(Some(self.call(args)));
                }
                Ok(())
            },
        )
    }

    fn needs() -> Needs {
        let mut needs = Needs::default();
        Args::needs(&mut needs);
        needs
    }
}

/// All parameters of a handler of kind `K`.
#[doc(hidden)]
pub trait Parameters<K: Kind>: Sized + 'static {
    /// Makes them, one after the other.
    ///
    /// # Errors
    /// That of the first one that cannot be made.
    fn from_context(context: &K::Context<'_>) -> Result<Self, ExtractError>;

    /// Notes what they need.
    fn needs(needs: &mut Needs);
}

macro_rules! impl_handler {
    ($($name:ident: $param:ident),*) => {
        #[diagnostic::do_not_recommend]
        impl<F, Fut, $($param),*> Callable<($($param,)*)> for F
        where
            F: Fn($($param),*) -> Fut + Send + Sync + 'static,
        {
            type Future = Fut;

            #[inline]
            fn call(&self, ($($name,)*): ($($param,)*)) -> Fut {
                self($($name),*)
            }
        }

        impl<K: Kind, $($param: FromContext<K> + 'static),*> Parameters<K> for ($($param,)*) {
            #[inline]
            fn from_context(_context: &K::Context<'_>) -> Result<Self, ExtractError> {
                Ok(($($param::from_context(_context)?,)*))
            }

            fn needs(_needs: &mut Needs) {
                $(<$param as FromContext<K>>::needs(_needs);)*
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
