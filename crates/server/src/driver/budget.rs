//! How much of what a client has sent one turn takes in.

use kokanee_io::READ_BYTES;

/// Messages that one turn takes in before other tasks get their chance.
const MESSAGES_PER_TURN: usize = 128;
/// Bytes that it takes in, fragments of unfinished messages included.
const BYTES_PER_TURN: usize = READ_BYTES;

/// What is left of a turn.
pub(super) struct Budget {
    /// None are left when no bytes are left.
    messages: usize,
    bytes: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            messages: MESSAGES_PER_TURN,
            bytes: BYTES_PER_TURN,
        }
    }

    pub(super) fn take_message(&mut self) {
        self.messages = self.messages.saturating_sub(1);
    }

    pub(super) fn take_bytes(&mut self, count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
        if self.bytes == 0 {
            self.messages = 0;
        }
    }

    #[inline]
    pub(super) fn is_spent(&self) -> bool {
        self.messages == 0
    }
}
