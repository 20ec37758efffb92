//! The acknowledgement that we owe for an event that the peer sent.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use kokanee_socketio::{AckId, Args, EncodedPacket, encode_ack, encode_ack_args};
use serde::Serialize;

use crate::{
    error::{BoxError, EmitError},
    refusal::{Fault, Refusal},
};

/// Where an acknowledgement goes: a socket.
pub trait AckSink: Send + Sync + 'static {
    /// The namespace of the event.
    fn namespace_name(&self) -> &str;

    /// How many attachments the peer takes in one packet.
    fn max_attachments(&self) -> usize;

    /// Sends the encoded acknowledgement.
    ///
    /// # Errors
    /// When the socket is gone.
    fn send_ack(&self, packet: EncodedPacket) -> Result<(), EmitError>;
}

/// Answers an event that the peer sent with an acknowledgement, once. An extractor.
///
/// If the peer did not ask for an answer, sending one does nothing. If it did, and the handler ends with an error, the
/// error is the answer; see [`send_result`](Self::send_result).
#[derive(Debug, Clone, Default)]
pub struct Ack(Option<Arc<Owed<dyn AckSink>>>);

struct Owed<S: ?Sized + AckSink> {
    id: AckId,
    /// The event's name, at debug level.
    event: Option<Box<str>>,
    answered: AtomicBool,
    sink: S,
}

/// Nobody can answer any more.
impl<S: ?Sized + AckSink> Drop for Owed<S> {
    fn drop(&mut self) {
        if let Some(event) = &self.event
            && !*self.answered.get_mut()
        {
            let (namespace, id) = (self.sink.namespace_name(), self.id.0);
            tracing::debug!(
                namespace,
                id,
                event,
                "the event asked for an acknowledgement, and none was sent"
            );
        }
    }
}

impl<S: ?Sized + AckSink> fmt::Debug for Owed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owed")
            .field("id", &self.id)
            .field("answered", &self.answered)
            .finish_non_exhaustive()
    }
}

impl Ack {
    /// Makes what answers the event of this name and with this id. For sockets, not for applications.
    #[doc(hidden)]
    pub fn new(sink: impl AckSink, id: AckId, event: &str) -> Self {
        Self(Some(Arc::new(Owed {
            id,
            event: tracing::level_enabled!(tracing::Level::DEBUG).then(|| event.into()),
            answered: AtomicBool::new(false),
            sink,
        })))
    }

    /// Whether the peer asked for an answer that it has not got yet.
    pub fn is_wanted(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|owed| !owed.answered.load(Ordering::Relaxed))
    }

    /// Answers. A tuple is spread over several arguments, `()` is none, everything else is one.
    ///
    /// ```
    /// use kokanee_handler::{Ack, Data, EmitError};
    ///
    /// // JavaScript: socket.emit("add", 20, 22, (sum) => …)
    /// async fn on_add(Data((a, b)): Data<(i64, i64)>, ack: Ack) -> Result<(), EmitError> {
    ///     ack.send(a + b)
    /// }
    ///
    /// // JavaScript: socket.emit("divide", 7, 2, (quotient, remainder) => …)
    /// async fn on_divide(Data((a, b)): Data<(i64, i64)>, ack: Ack) -> Result<(), EmitError> {
    ///     ack.send((a / b, a % b))
    /// }
    /// ```
    ///
    /// # Errors
    /// When the value cannot be encoded or has more binary values than the peer takes, an answer was sent before, or the socket is gone.
    pub fn send<T: Serialize>(&self, args: T) -> Result<(), EmitError> {
        self.answer(|owed| Ok(encode_ack(owed.sink.namespace_name(), owed.id, &args)?))
    }

    /// Answers with the value, or with the error, which has the same form as that of a handler that returns one:
    ///
    /// | `result` | JavaScript's acknowledgement gets |
    /// |---|---|
    /// | `Ok(value)` | the value, as with [`send`](Self::send) |
    /// | `Err` with a [`ClientError`](crate::ClientError) in it | `{ error: { code, message, data } }`, `data` if there is any |
    /// | any other `Err` | `{ error: { code: "internal", message: "internal error" } }` |
    ///
    /// Kokanee's client gets the error as [`AckError::Remote`](crate::AckError::Remote). Make it the handler's last
    /// expression: the error that it returns is the one that was given, for the log and `on_error`. (A `Result` given to
    /// `send` has serde's form, `{ Ok: value }`.)
    ///
    /// ```
    /// use kokanee_handler::{Ack, BoxError, ClientError};
    ///
    /// fn divide(a: i64, b: i64) -> Result<i64, ClientError> {
    ///     a.checked_div(b).ok_or_else(|| ClientError::new("division by zero").code("division_by_zero"))
    /// }
    ///
    /// // io.on("divide", async |Data((a, b)): Data<(i64, i64)>, ack: Ack| ack.send_result(divide(a, b)));
    /// # fn handler(ack: Ack) -> Result<(), BoxError> {
    /// ack.send_result(divide(1, 0))
    /// # }
    /// # assert!(handler(Ack::default()).is_err());
    /// ```
    ///
    /// # Errors
    /// The error that was given, whether or not the peer asked for an answer; otherwise as [`send`](Self::send).
    pub fn send_result<T: Serialize, E: Into<BoxError>>(
        &self,
        result: Result<T, E>,
    ) -> Result<(), BoxError> {
        match result {
            Ok(value) => Ok(self.send(value)?),
            Err(error) => {
                let error = error.into();
                self.send_fault(Fault::of(&*error));
                Err(error)
            }
        }
    }

    /// Answers with arguments as they were received.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_args(&self, args: &Args) -> Result<(), EmitError> {
        self.answer(|owed| Ok(encode_ack_args(owed.sink.namespace_name(), owed.id, args)))
    }

    fn answer(
        &self,
        encode: impl FnOnce(&Owed<dyn AckSink>) -> Result<EncodedPacket, EmitError>,
    ) -> Result<(), EmitError> {
        let Some(owed) = &self.0 else { return Ok(()) };
        // Encoded first: a value that cannot be encoded must not use up the only answer.
        let packet = encode(owed)?;
        packet.check_attachments(owed.sink.max_attachments())?;
        if owed.answered.swap(true, Ordering::Relaxed) {
            return Err(EmitError::AlreadyAcknowledged);
        }
        owed.sink.send_ack(packet)
    }

    /// Reports that the event was not handled.
    pub(crate) fn send_fault(&self, fault: Fault<'_>) {
        let Some(owed) = self.0.as_ref().filter(|_| self.is_wanted()) else {
            return;
        };
        // The peer may be gone: then there is nobody to tell.
        if let Err(error) = self.send(Refusal {
            error: fault.clone(),
        }) && self.is_wanted()
        {
            let (namespace, code) = (owed.sink.namespace_name(), fault.code);
            tracing::warn!(namespace, code, %error, "the data of an error cannot be sent, it is left out");
            let fault = Fault {
                data: None,
                ..fault
            };
            let _ = self.send(Refusal { error: fault });
        }
    }
}
