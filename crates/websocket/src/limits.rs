//! [`Limits`]: how much may be buffered for an incomplete message.

/// How much a peer may send as one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The payload bytes of a message, all its fragments together. Defaults to 1,000,000.
    ///
    /// Holds for the compressed and for the inflated size of a message, each.
    pub max_message_bytes: usize,
    /// The frames of a message, empty ones included; at least one. Defaults to 16,384.
    pub max_fragments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 1_000_000,
            max_fragments: 16_384,
        }
    }
}
