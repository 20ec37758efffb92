//! The POST of a polling client whose packets [`Session`](crate::Session) is handling.

use crate::payload::PayloadDecoder;

/// A POST being processed: decoded packet by packet, so that a body of a million packets costs nothing extra.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) packets: PayloadDecoder,
    /// The client got its `ok` before the end, so that it can send a GET for its queued packets.
    pub(crate) answered: bool,
    /// The next POST, which came after that.
    pub(crate) next: Option<Box<PayloadDecoder>>,
}

impl Post {
    pub(crate) fn new(packets: PayloadDecoder) -> Self {
        Self {
            packets,
            answered: false,
            next: None,
        }
    }

    /// Returns whether a POST is unanswered.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.answered || self.next.is_some()
    }
}
