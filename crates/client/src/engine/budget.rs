//! [`Budget`]: how much one turn takes in before other tasks get their chance.

/// Messages of one turn. A large one counts as one for every so many bytes.
const MESSAGES_PER_TURN: usize = 128;
const BYTES_PER_MESSAGE: usize = 16 * 1024;

/// What one turn may still take in.
pub(crate) struct Budget(usize);

impl Budget {
    /// For a whole turn.
    pub(crate) fn new() -> Self {
        Self(MESSAGES_PER_TURN)
    }

    /// Counts a message.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(1 + bytes / BYTES_PER_MESSAGE);
    }

    /// Whether nothing is left.
    pub(crate) fn is_spent(&self) -> bool {
        self.0 == 0
    }
}
