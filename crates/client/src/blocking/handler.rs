//! Handlers that are plain functions: they run on a blocking thread, and the client's task waits for them.

use std::{future::Future, panic::resume_unwind, sync::Arc};

use kokanee_handler::{BoxError, Erased, FromContext, IntoOutcome, Kind, Needs};

use crate::handlers::Handling;

/// A plain function that can handle what `K` says.
///
/// Implemented for functions and closures of up to eight parameters that implement [`FromContext<K>`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a blocking handler",
    note = "a blocking handler is a plain function, not an async one; every parameter must be an extractor of this kind",
    note = "it returns nothing, or a Result<(), E>"
)]
/// Describes a plain function that handles what `K` names: an event, a connection, a disconnection.
///
/// It is implemented for functions and closures with up to eight parameters that implement [`FromContext<K>`] and that return
/// nothing or a `Result<(), E>`.
///
/// # Examples
///
/// ```
/// use kokanee_client::{BoxError, Data, blocking::{Client, Socket}};
///
/// fn save(socket: Socket, Data((name, content)): Data<(String, String)>) -> Result<(), BoxError> {
///     std::fs::write(name, content)?; // Blocking is fine here: the handler has a thread of its own.
///     Ok(socket.emit("saved", ())?)
/// }
///
/// # fn example() {
/// Client::builder("http://localhost:5000").on("save", save);
/// # }
/// ```
pub trait Handler<Args, K: Kind>: Send + Sync + 'static {
    /// Returns the handler in the form in which the client's task calls it.
    #[doc(hidden)]
    fn erase(self) -> Erased<K>;

    /// Returns what the parameters need.
    #[doc(hidden)]
    fn needs() -> Needs;
}

/// Runs a function on a blocking thread. A panic of the function continues where the future is awaited.
fn run(
    function: impl FnOnce() -> Result<(), BoxError> + Send + 'static,
) -> impl Future<Output = Result<(), BoxError>> + Send {
    let running = tokio::task::spawn_blocking(|| {
        let _handling = Handling::start();
        function()
    });
    async move {
        match running.await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(error) => Err(error.into()),
        }
    }
}

macro_rules! impl_handler {
    ($($param:ident),*) => {
        impl<F, R, K, $($param),*> Handler<($($param,)*), K> for F
        where
            K: Kind,
            F: Fn($($param),*) -> R + Send + Sync + 'static,
            R: IntoOutcome,
            $($param: FromContext<K> + Send + 'static,)*
        {
            fn erase(self) -> Erased<K> {
                let function = Arc::new(self);
                #[allow(non_snake_case, reason = "parameters are named after their types, if there are any")]
                let handler = move |$($param: $param),*| {
                    let function = Arc::clone(&function);
                    run(move || function($($param),*).into_outcome())
                };
                kokanee_handler::Handler::<($($param,)*), K>::erase(handler)
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
impl_handler!(A);
impl_handler!(A, B);
impl_handler!(A, B, C);
impl_handler!(A, B, C, D);
impl_handler!(A, B, C, D, E);
impl_handler!(A, B, C, D, E, G);
impl_handler!(A, B, C, D, E, G, H);
impl_handler!(A, B, C, D, E, G, H, I);
