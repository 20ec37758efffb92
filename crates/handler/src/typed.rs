//! Events whose name, arguments and acknowledgement are one type, shared by server and client.

use std::{fmt, marker::PhantomData};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    ack::Ack,
    error::{BoxError, EmitError, ExtractError},
    extract::{Data, EventKind, FromContext},
};

/// A type that is the arguments of one event. Implemented by `#[derive(Event)]`.
pub trait Event: Serialize + DeserializeOwned {
    /// The event's name.
    const NAME: &'static str;
    /// The content of its acknowledgement; `()` if it has none. An acknowledgement may also be an error instead: see
    /// [`TypedAck::send_result`].
    type Ack: Serialize + DeserializeOwned;
}

/// The arguments of a typed event: the first parameter of its handlers.
///
/// ```
/// # use kokanee_handler::{EmitError, Event, Typed, TypedAck};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Sum(i64, i64);
/// # impl Event for Sum { const NAME: &'static str = "sum"; type Ack = i64; }
/// // #[derive(Event, Serialize, Deserialize)] #[event(ack = i64)] struct Sum(i64, i64);
/// async fn on_sum(Typed(Sum(a, b)): Typed<Sum>, ack: TypedAck<Sum>) -> Result<(), EmitError> {
///     ack.send(a + b)
/// }
/// // io.on_typed(on_sum);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Typed<E>(pub E);

impl<K: EventKind, E: Event> FromContext<K> for Typed<E> {
    fn from_context(context: &K::Context<'_>) -> Result<Self, ExtractError> {
        <Data<E> as FromContext<K>>::from_context(context).map(|Data(event)| Self(event))
    }
}

/// Acknowledges a typed event, once and with its type. An extractor.
pub struct TypedAck<E> {
    ack: Ack,
    event: PhantomData<fn(E)>,
}

impl<E: Event> TypedAck<E> {
    /// Returns whether the peer asked for an acknowledgement and none was sent yet.
    pub fn is_wanted(&self) -> bool {
        self.ack.is_wanted()
    }

    /// Sends the acknowledgement. If the peer did not ask for one, this does nothing.
    ///
    /// # Errors
    /// As [`Ack::send`].
    pub fn send(&self, answer: E::Ack) -> Result<(), EmitError> {
        self.ack.send(answer)
    }

    /// Acknowledges with the value or the error, as [`Ack::send_result`] does.
    ///
    /// ```
    /// # use kokanee_handler::{BoxError, ClientError, Event, TypedAck};
    /// # fn handler<Sum: Event<Ack = i64>>(ack: TypedAck<Sum>, sum: Option<i64>) -> Result<(), BoxError> {
    /// ack.send_result(sum.ok_or(ClientError::new("too large").code("overflow")))
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Ack::send_result`].
    pub fn send_result<F: Into<BoxError>>(
        &self,
        result: Result<E::Ack, F>,
    ) -> Result<(), BoxError> {
        self.ack.send_result(result)
    }
}

impl<E> Clone for TypedAck<E> {
    fn clone(&self) -> Self {
        Self {
            ack: self.ack.clone(),
            event: PhantomData,
        }
    }
}

impl<E> fmt::Debug for TypedAck<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ack.fmt(f)
    }
}

impl<K: EventKind, E: Event> FromContext<K> for TypedAck<E> {
    fn from_context(context: &K::Context<'_>) -> Result<Self, ExtractError> {
        Ok(Self {
            ack: K::ack(context),
            event: PhantomData,
        })
    }
}

/// The parameters of a handler that begin with a typed event, which names the event.
#[diagnostic::on_unimplemented(
    message = "the first parameter must be `Typed<E>`",
    label = "does not say which event it handles",
    note = "the handler's event is known by it: `async |Typed(event): Typed<MyEvent>, …| …`"
)]
pub trait TypedArgs {
    /// The event.
    type Event: Event;
}

macro_rules! impl_typed_args {
    ($($param:ident),*) => {
        impl<Head: Event, $($param),*> TypedArgs for (Typed<Head>, $($param,)*) {
            type Event = Head;
        }
    };
}

impl_typed_args!();
impl_typed_args!(A);
impl_typed_args!(A, B);
impl_typed_args!(A, B, C);
impl_typed_args!(A, B, C, D);
impl_typed_args!(A, B, C, D, E);
impl_typed_args!(A, B, C, D, E, G);
impl_typed_args!(A, B, C, D, E, G, H);
