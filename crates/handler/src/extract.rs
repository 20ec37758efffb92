//! Extractors: the parameters of handlers, made from the context of a call.

use std::{fmt, ops::Deref, sync::Arc};

use kokanee_engineio::Str;
use kokanee_socketio::{Args, RawEvent};
use serde::de::DeserializeOwned;

use crate::{ack::Ack, error::ExtractError, needs::Needs};

/// A kind of handlers: for events, for connections, for disconnections.
pub trait Kind: 'static {
    /// The data of one call, from which parameters are extracted.
    type Context<'a>;

    /// Returns the event's name. For other kinds it is the name in JavaScript: `connection`.
    fn name<'c>(context: &'c Self::Context<'_>) -> &'c str;

    /// Returns the application's value of this type.
    fn state<T: Send + Sync + 'static>(context: &Self::Context<'_>) -> Option<Arc<T>>;
}

/// A kind of handlers for events of the peer.
#[diagnostic::on_unimplemented(
    message = "only handlers of events have `Data`, `Typed`, `Args`, `RawEvent`, `EventName`, `Ack` and `TypedAck` as parameters",
    label = "a handler of another kind",
    note = "there is no event in `on_connect` and `on_disconnect`: what a client sends with its connection is `Auth<T>`, what it sends \
            later comes to `on(\"event\", async |Data(value): Data<T>, ack: Ack| …)`"
)]
pub trait EventKind: Kind {
    /// Returns the event.
    fn event<'c>(context: &'c Self::Context<'_>) -> Option<&'c RawEvent>;

    /// Returns its acknowledgement, which the peer may not have asked for.
    fn ack(context: &Self::Context<'_>) -> Ack;
}

/// A parameter of handlers of kind `K`.
///
/// Implement it for a type of yours, and handlers can have it as a parameter, on a server and on a client:
///
/// ```
/// use kokanee_handler::{ClientError, Data, EventKind, ExtractError, FromContext};
///
/// struct Position { x: f64, y: f64 }
///
/// impl<K: EventKind> FromContext<K> for Position {
///     fn from_context(context: &K::Context<'_>) -> Result<Self, ExtractError> {
///         let Data((x, y)) = <Data<(f64, f64)> as FromContext<K>>::from_context(context)?;
///         if !(0.0..=1.0).contains(&x) || !(0.0..=1.0).contains(&y) {
///             let error = ClientError::new("this position is not on the map").code("off_map");
///             return Err(ExtractError::other(error)); // the acknowledgement, if the peer asked for one
///         }
///         Ok(Self { x, y })
///     }
/// }
///
/// async fn on_move(position: Position) {
///     println!("({}, {})", position.x, position.y);
/// }
/// // io.on("move", on_move);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of this handler",
    label = "has a parameter `{Self}`",
    note = "of every handler: `Socket`, `State<T>`, `Extension<T>`, `Auth<T>`, …, and your own types that implement `FromContext`",
    note = "of handlers of events: `Data<T>` for the arguments, as in `Data(text): Data<String>` or `Data((a, b)): Data<(i64, i64)>`, and \
            `Ack`; of `on_disconnect` alone: `DisconnectReason`",
    note = "handlers of a client have `kokanee::client::Socket` and `kokanee::client::DisconnectReason`, those of a server \
            `kokanee::Socket` and `kokanee::DisconnectReason`"
)]
pub trait FromContext<K: Kind>: Sized {
    /// Extracts the parameter.
    ///
    /// # Errors
    /// [`ExtractError`] if something is missing or does not fit. The handler is not called then, and the error is
    /// reported.
    fn from_context(context: &K::Context<'_>) -> Result<Self, ExtractError>;

    /// Adds what the parameter needs of the application. Adding a handler whose needs are not met panics, instead of
    /// failing at its first event. Adds nothing by default.
    ///
    /// An extractor that uses others calls theirs:
    ///
    /// ```
    /// # use kokanee_handler::{FromContext, Kind, Needs};
    /// # struct State<T>(T);
    /// # struct Database;
    /// # struct User<K>(K);
    /// # trait Example<K: Kind> where State<Database>: FromContext<K> {
    /// fn needs(needs: &mut Needs) {
    ///     <State<Database> as FromContext<K>>::needs(needs);
    /// }
    /// # }
    /// ```
    fn needs(_needs: &mut Needs) {}
}

/// The arguments of an event: a tuple takes all of them, any other type the first. Where the tuple has an `Option`, arguments at the
/// end may be missing.
///
/// Binary arguments, at any depth, come as `bytes::Bytes` (or anything that deserializes from bytes).
///
/// ```
/// use kokanee_handler::Data;
///
/// // JavaScript: socket.emit("chat", "hello")
/// async fn on_chat(Data(text): Data<String>) {}
///
/// // JavaScript: socket.emit("move", "e2", "e4") or socket.emit("move", "e7", "e8", "queen")
/// async fn on_move(Data((from, to, promotion)): Data<(String, String, Option<String>)>) {}
///
/// #[derive(serde::Deserialize)]
/// struct Upload { name: String, #[serde(default)] tags: Vec<String> }
///
/// // JavaScript: socket.emit("upload", { name: "cat.png", tags: ["cat"] })
/// async fn on_upload(Data(upload): Data<Upload>) {}
///
/// // io.on("chat", on_chat); io.on("move", on_move); io.on("upload", on_upload);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Data<T>(pub T);

impl<K: EventKind, T: DeserializeOwned> FromContext<K> for Data<T> {
    fn from_context(context: &K::Context<'_>) -> Result<Self, ExtractError> {
        match K::event(context) {
            Some(event) => Ok(Self(event.args().deserialize()?)),
            None => Ok(Self(Args::none().deserialize()?)),
        }
    }
}

/// The raw arguments, to forward them or to deserialise them later.
///
/// ```
/// use kokanee_handler::Ack;
/// use kokanee_socketio::{Args, ArgsError};
///
/// async fn on_echo(args: Args, ack: Ack) -> Result<(), kokanee_handler::EmitError> {
///     ack.send_args(&args)
/// }
///
/// async fn on_log(args: Args) -> Result<(), ArgsError> {
///     let level: String = args.deserialize()?; // the first argument
///     println!("{level}: {args:?}");
///     Ok(())
/// }
/// ```
impl<K: EventKind> FromContext<K> for Args {
    fn from_context(context: &K::Context<'_>) -> Result<Self, ExtractError> {
        Ok(K::event(context)
            .map(RawEvent::args)
            .cloned()
            .unwrap_or_default())
    }
}

/// The event itself: name and arguments.
///
/// ```
/// use kokanee_socketio::RawEvent;
///
/// async fn trace(event: RawEvent) {
///     println!("{} with {} arguments", event.name(), event.args().len());
/// }
/// // io.on_any(trace);
/// ```
impl<K: EventKind> FromContext<K> for RawEvent {
    fn from_context(context: &K::Context<'_>) -> Result<Self, ExtractError> {
        K::event(context)
            .cloned()
            .ok_or_else(|| ExtractError::other("there is no event"))
    }
}

/// The name of the event. It derefs to `str`, and can be compared with one.
///
/// ```
/// # use kokanee_handler::EventName;
/// fn is_chat(name: &EventName) -> bool {
///     *name == "message" || name.starts_with("chat:")
/// }
/// # assert!(is_chat(&EventName("chat:x".into())));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventName(pub Str);

impl Deref for EventName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl PartialEq<str> for EventName {
    fn eq(&self, other: &str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<&str> for EventName {
    fn eq(&self, other: &&str) -> bool {
        self.0 == **other
    }
}

impl<K: EventKind> FromContext<K> for EventName {
    fn from_context(context: &K::Context<'_>) -> Result<Self, ExtractError> {
        let name = K::event(context).map(|event| event.name().into());
        Ok(Self(name.unwrap_or_default()))
    }
}

impl<K: EventKind> FromContext<K> for Ack {
    fn from_context(context: &K::Context<'_>) -> Result<Self, ExtractError> {
        Ok(K::ack(context))
    }
}

/// A parameter that may be missing.
///
/// ```
/// use kokanee_handler::{Data, State};
/// # struct Database;
///
/// // Called with any arguments, on servers with and without a database.
/// async fn on_search(text: Option<Data<String>>, database: Option<State<Database>>) {
///     let Some(Data(text)) = text else { return };
///     println!("{text}, with a database: {}", database.is_some());
/// }
/// ```
impl<K: Kind, T: FromContext<K>> FromContext<K> for Option<T> {
    fn from_context(context: &K::Context<'_>) -> Result<Self, ExtractError> {
        Ok(T::from_context(context).ok())
    }
}

/// A parameter or the error of its extraction.
///
/// ```
/// use kokanee_handler::{Ack, Data, EmitError, ExtractError};
///
/// async fn on_sum(numbers: Result<Data<(i64, i64)>, ExtractError>, ack: Ack) -> Result<(), EmitError> {
///     match numbers {
///         Ok(Data((a, b))) => ack.send(("sum", a + b)),
///         Err(ExtractError::Payload(error)) => ack.send(("two numbers, please", error.to_string())),
///         Err(other) => ack.send(("error", other.to_string())),
///     }
/// }
/// ```
impl<K: Kind, T: FromContext<K>> FromContext<K> for Result<T, ExtractError> {
    fn from_context(context: &K::Context<'_>) -> Result<Self, ExtractError> {
        Ok(T::from_context(context))
    }
}
