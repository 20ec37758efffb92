//! The limits of received packets.

use crate::scan::MAX_DEPTH;

/// The limits of one received packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoderLimits {
    /// Most attachments of a packet, and most placeholders for them. Does not apply to the binary values in a msgpack
    /// packet, which are not limited. Defaults to 10.
    pub max_attachments: usize,
    /// Most bytes of all attachments of a packet together; one with two placeholders counts twice. A msgpack packet,
    /// which is kept as JSON text with attachments, may grow by as much. Defaults to 1,900,000.
    pub max_attachment_bytes: usize,
    /// Deepest nesting of arrays and objects. Defaults to [`MAX_DEPTH`], which is also the maximum.
    pub max_depth: usize,
    /// Longest namespace in bytes, without its `?query`. Defaults to 255.
    pub max_namespace_bytes: usize,
    /// Whether CONNECT may carry any JSON value. Otherwise it must be an object, as for JavaScript servers. Defaults to false.
    pub any_auth: bool,
}

impl Default for DecoderLimits {
    fn default() -> Self {
        Self {
            max_attachments: 10,
            max_attachment_bytes: 1_900_000,
            max_depth: MAX_DEPTH,
            max_namespace_bytes: 255,
            any_auth: false,
        }
    }
}
