//! The acknowledgement that is pending for an event of the peer.

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

/// A socket that sends acknowledgements.
pub trait AckSink: Send + Sync + 'static {
    /// Returns the namespace of the event.
    fn namespace_name(&self) -> &str;

    /// Returns how many attachments the peer accepts in one packet.
    fn max_attachments(&self) -> usize;

    /// Sends the encoded acknowledgement.
    ///
    /// # Errors
    /// If the socket is disconnected.
    fn send_ack(&self, packet: EncodedPacket) -> Result<(), EmitError>;
}

/// Acknowledges an event of the peer, once. An extractor.
///
/// If the peer did not ask for an acknowledgement, sending one does nothing. If it did, and the handler returns an
/// error, the error is the acknowledgement; see [`send_result`](Self::send_result).
#[derive(Debug, Clone, Default)]
pub struct Ack(Option<Arc<PendingAck<dyn AckSink>>>);

struct PendingAck<S: ?Sized + AckSink> {
    id: AckId,
    /// The event's name, at debug level.
    event: Option<Box<str>>,
    answered: AtomicBool,
    sink: S,
}

/// Logs that no acknowledgement was sent and none can be sent any more.
impl<S: ?Sized + AckSink> Drop for PendingAck<S> {
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

impl<S: ?Sized + AckSink> fmt::Debug for PendingAck<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAck")
            .field("id", &self.id)
            .field("answered", &self.answered)
            .finish_non_exhaustive()
    }
}

impl Ack {
    /// Creates the acknowledgement of the event with this name and id. For sockets, not for applications.
    #[doc(hidden)]
    pub fn new(sink: impl AckSink, id: AckId, event: &str) -> Self {
        Self(Some(Arc::new(PendingAck {
            id,
            event: tracing::level_enabled!(tracing::Level::DEBUG).then(|| event.into()),
            answered: AtomicBool::new(false),
            sink,
        })))
    }

    /// Returns the id that the peer has given, if it asked for an acknowledgement.
    #[doc(hidden)]
    pub fn id(&self) -> Option<AckId> {
        self.0.as_ref().map(|pending| pending.id)
    }

    /// Returns whether the peer asked for an acknowledgement and none was sent yet.
    pub fn is_wanted(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|pending| !pending.answered.load(Ordering::Relaxed))
    }

    /// Sends the acknowledgement. A tuple becomes several arguments, `()` none, everything else one.
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
    /// If the value cannot be encoded or has more binary values than the peer accepts, if an acknowledgement was sent
    /// before, or if the socket is disconnected.
    pub fn send<T: Serialize>(&self, args: T) -> Result<(), EmitError> {
        self.answer(|pending| {
            Ok(encode_ack(
                pending.sink.namespace_name(),
                pending.id,
                &args,
            )?)
        })
    }

    /// Acknowledges with the value or the error. The error has the same form as one that a handler returns:
    ///
    /// | `result` | JavaScript's acknowledgement gets |
    /// |---|---|
    /// | `Ok(value)` | the value, as with [`send`](Self::send) |
    /// | `Err` with a [`ClientError`](crate::ClientError) in it | `{ error: { code, message, data } }`, `data` if there is any |
    /// | any other `Err` | `{ error: { code: "internal", message: "internal error" } }` |
    ///
    /// Kokanee's client gets the error as [`AckError::Remote`](crate::AckError::Remote). Make it the handler's last
    /// expression: it returns the given error, for the log and `on_error`. (A `Result` given to `send` has serde's
    /// form, `{ Ok: value }`.)
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
    /// The given error, whether or not the peer asked for an acknowledgement; otherwise as [`send`](Self::send).
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

    /// Acknowledges with received arguments, unchanged.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_args(&self, args: &Args) -> Result<(), EmitError> {
        self.answer(|pending| {
            Ok(encode_ack_args(
                pending.sink.namespace_name(),
                pending.id,
                args,
            ))
        })
    }

    fn answer(
        &self,
        encode: impl FnOnce(&PendingAck<dyn AckSink>) -> Result<EncodedPacket, EmitError>,
    ) -> Result<(), EmitError> {
        let Some(pending) = &self.0 else {
            return Ok(());
        };
        // Encoded first: a value that cannot be encoded must not use up the only acknowledgement.
        let packet = encode(pending)?;
        packet.check_attachments(pending.sink.max_attachments())?;
        if pending.answered.swap(true, Ordering::Relaxed) {
            return Err(EmitError::AlreadyAcknowledged);
        }
        pending.sink.send_ack(packet)
    }

    /// Acknowledges with the error of a handler, if an acknowledgement is pending.
    pub(crate) fn send_fault(&self, fault: Fault<'_>) {
        let Some(pending) = self.0.as_ref().filter(|_| self.is_wanted()) else {
            return;
        };
        // If the peer is disconnected, there is nothing to do.
        if let Err(error) = self.send(Refusal {
            error: fault.clone(),
        }) && self.is_wanted()
        {
            let (namespace, code) = (pending.sink.namespace_name(), fault.code);
            tracing::warn!(namespace, code, %error, "the data of an error cannot be encoded and is omitted");
            let fault = Fault {
                data: None,
                ..fault
            };
            let _ = self.send(Refusal { error: fault });
        }
    }
}
