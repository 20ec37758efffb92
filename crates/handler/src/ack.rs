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

use crate::{EmitError, EventError};

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
/// If the peer did not ask for an answer, sending one does nothing.
#[derive(Debug, Clone, Default)]
pub struct Ack(Option<Arc<Owed<dyn AckSink>>>);

struct Owed<S: ?Sized> {
    id: AckId,
    answered: AtomicBool,
    sink: S,
}

impl<S: ?Sized> fmt::Debug for Owed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owed")
            .field("id", &self.id)
            .field("answered", &self.answered)
            .finish_non_exhaustive()
    }
}

impl Ack {
    /// What answers the event with this id.
    pub fn new(sink: impl AckSink, id: AckId) -> Self {
        Self(Some(Arc::new(Owed {
            id,
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
    /// # Errors
    /// When the value cannot be encoded or has more binary values than the peer takes, an answer was sent before, or the socket is gone.
    pub fn send<T: Serialize>(&self, args: T) -> Result<(), EmitError> {
        self.answer(|owed| Ok(encode_ack(owed.sink.namespace_name(), owed.id, &args)?))
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
    pub fn send_error(&self, error: &EventError) {
        #[derive(Serialize)]
        struct Answer<'a> {
            error: Fault<'a>,
        }
        #[derive(Serialize)]
        struct Fault<'a> {
            code: &'a str,
            message: &'a str,
        }
        if self.is_wanted() {
            let message = error.public_message();
            // The peer may be gone: then there is nobody to tell.
            let _ = self.send(Answer {
                error: Fault {
                    code: error.code(),
                    message: &message,
                },
            });
        }
    }
}
