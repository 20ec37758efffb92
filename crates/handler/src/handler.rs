//! [`Handler`]: an async function whose parameters are extracted from the context of a call.

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
    spare::FutureSlot,
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
    /// Returns the error, if there was one.
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

/// A handler that has been called, as a future of its outcome.
pub trait Call: Send {
    /// Polls the handler.
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

/// A handler that has been called and is not finished.
pub type HandlerFuture = Pin<Box<dyn Call>>;

/// The result of calling a handler and polling it once.
#[expect(missing_debug_implementations, reason = "it holds a future")]
pub enum Started {
    /// The handler is finished.
    Ended(Result<(), BoxError>),
    /// The handler is not finished.
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
    /// [`ExtractError`] of a parameter.
    #[inline]
    pub fn start(
        &self,
        context: &K::Context<'_>,
        cx: &mut Context<'_>,
    ) -> Result<Started, ExtractError> {
        (self.0)(context, cx)
    }

    /// Creates it from a function that constructs the future in place: futures may be large, and are not moved this
    /// way.
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
                let mut slot = FutureSlot::empty();
                if let Err(error) = call(context, slot.future()) {
                    slot.end();
                    return Err(error);
                }
                Ok(match slot.future().poll_outcome(cx) {
                    Poll::Pending => Started::Waits(slot.into_future()),
                    Poll::Ready(outcome) => {
                        slot.end();
                        Started::Ended(outcome)
                    }
                })
            },
        ))
    }
}

/// A function that can be called repeatedly, from any thread.
///
/// It is between [`Handler`] and `Fn` for the sake of the compiler's errors: for a closure that is not an `Fn`, because
/// its future borrows or consumes a captured variable, the compiler prints the notes of `Handler`.
#[doc(hidden)]
pub trait Callable<Args>: Send + Sync + 'static {
    /// The async function's future.
    type Future;

    /// Calls it.
    fn call(&self, args: Args) -> Self::Future;
}

/// An async function that can be a handler of kind `K`.
///
/// Implemented for async functions and closures of up to eight parameters that implement [`FromContext<K>`], which return
/// nothing or a `Result<(), E>`.
///
/// A closure is called once for every event, so an `async` closure cannot capture anything. Values that many handlers
/// share are [state](FromContext) of the application. Values of one handler are cloned for every call:
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
/// A handler that uses `?` and ends with `Ok(())` must name its error type, which can be any type that is
/// `Into<BoxError>`:
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
    /// Erases the parameters' types.
    #[doc(hidden)]
    fn erase(self) -> Erased<K>;

    /// Returns what its parameters need.
    #[doc(hidden)]
    fn needs() -> Needs;
}

// One impl for all numbers of parameters: with a single candidate, the compiler explains why it does not apply.
impl<F, K, Args> Handler<Args, K> for F
where
    K: Kind,
    F: Callable<Args>,
    Args: Parameters<K>,
    F::Future: Future<Output: IntoOutcome> + Send + 'static,
{
    fn erase(self) -> Erased<K> {
        Erased::new(
            move |context: &K::Context<'_>, mut slot: Pin<&mut Option<F::Future>>| {
                let args = Args::from_context(context)?;
                debug_assert!(slot.is_none(), "slots are kept empty");
                // Always true. Checked so that no code is generated that drops another future.
                if slot.is_none() {
                    slot.set(Some(self.call(args)));
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
    /// Extracts them in order.
    ///
    /// # Errors
    /// The error of the first one that fails.
    fn from_context(context: &K::Context<'_>) -> Result<Self, ExtractError>;

    /// Adds what they need.
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
